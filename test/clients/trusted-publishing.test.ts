/** CI jobs publish without a secret: clients that know trusted publishing show the job's ID token, and need no setting for it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';
import { createProject, type Manager, type ManagerId, managers, missing, type Ran, run } from './package-managers.ts';

let folder: TemporaryFolder;
let issuer: Issuer;
let server: HostedServer;

const main = { sub: 'repo:acme/shop:ref:refs/heads/main', ref: 'refs/heads/main' };

beforeAll(async () => {
  folder = await temporaryFolder('larder-trusted');
  issuer = await startIssuer();
  server = await startHosted({
    format: 'npm',
    access: [
      { who: ['everyone'], may: ['read'] },
      {
        who: ['ci:github:repo:acme/*'],
        may: ['read', 'publish'],
        names: ['@acme/*'],
        claims: { ref: 'refs/heads/main' },
      },
    ],
    more: { issuers: { github: { url: issuer.url } } },
  });
});

afterAll(async () => {
  await server.close();
  await issuer.close();
  await folder.remove();
});

const publishing: Readonly<Partial<Record<ManagerId, readonly string[]>>> = {
  npm: ['publish', '--loglevel=verbose'],
  npm12: ['publish', '--loglevel=verbose'],
  pnpm12: ['publish', '--no-git-checks'],
};
const here = managers.filter(({ id }) => publishing[id] !== undefined && missing(id) === undefined);

/** In a job of GitHub Actions whose ID token says this. */
async function publish(manager: Manager, name: string, job: Readonly<Record<string, unknown>>): Promise<Ran> {
  const manifest = { name, version: '1.0.0', private: false, license: 'MIT' };
  const project = await createProject(folder.path, manager, server.url, manifest);
  await writeFile(join(project.folder, 'index.js'), 'module.exports = 1;\n');
  issuer.job = job;
  const env = {
    CI: 'true',
    GITHUB_ACTIONS: 'true',
    ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer.url}/actions?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of the job',
  };
  return run(manager.id, publishing[manager.id] ?? [], { folder: project.folder, home: project.home, env });
}

describe.each(here)('$id', (manager) => {
  test('publishes with the ID token of a job, and anybody installs it', async () => {
    const name = `@acme/from-${manager.id}`;
    const ran = await publish(manager, name, main);
    expect(ran.code, ran.output).toBe(0);
    const other = await createProject(folder.path, manager, server.url, { dependencies: { [name]: '1.0.0' } });
    const installed = await other.run(...manager.install);
    expect(installed.code, installed.output).toBe(0);
    expect(await readFile(join(other.folder, 'node_modules', name, 'index.js'), 'utf8')).toBe('module.exports = 1;\n');
  });

  test.each([
    ['of a branch that may not', '@acme/other', { sub: 'repo:acme/shop:ref:refs/heads/x', ref: 'refs/heads/x' }],
    ['of another repository', '@acme/other', { ...main, sub: 'repo:evil/shop:ref:refs/heads/main' }],
    ['with a name that no rule lets it have', 'unscoped', main],
  ])('does not publish from a job %s', async (_name, name, job) => {
    const ran = await publish(manager, name, job);
    expect(ran.code, ran.output).not.toBe(0);
  });
});
