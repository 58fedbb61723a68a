/**
 * npm, pnpm, Yarn and Bun publish to a repository, and the same on another machine install what they published; what each of them
 * can change afterwards, and what it says to those who may not.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issued } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import {
  createProject,
  findProgram,
  type Manager,
  type ManagerId,
  managers,
  missing,
  type Project,
  type Ran,
  run,
} from './package-managers.ts';

let folder: TemporaryFolder;
let server: HostedServer;
let secure: HostedServer;
/** By whom they are; those of the server with TLS begin with `secure-`. */
const tokens: Record<string, string> = {};
let env: Readonly<Record<string, string>> = {};
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('larder-npm-publish');
  closing.push(() => folder.remove());
  const { ca, cert, key } = issued();
  const file = (name: string): string => join(folder.path, name);
  await Promise.all([
    writeFile(file('ca.pem'), ca),
    writeFile(file('cert.pem'), cert),
    writeFile(file('key.pem'), key),
  ]);
  env = { NODE_EXTRA_CA_CERTS: file('ca.pem') };
  server = await startHosted({ format: 'npm' });
  closing.push(() => server.close());
  const tls = { cert: file('cert.pem'), key: file('key.pem') };
  secure = await startHosted({ format: 'npm', tls: true, server: { tls } });
  closing.push(() => secure.close());
  for (const who of ['alice', 'rita', 'nobody', 'olga']) tokens[who] = await server.token(who);
  tokens.wrong = wrongToken;
  tokens.ended = await server.expiredToken();
  tokens['secure-alice'] = await secure.token('alice');
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** The same client with a token for the registry; without one it has none. */
function withToken(manager: Manager, token: string | undefined): Manager {
  if (token === undefined) return manager;
  const settings: Manager['settings'] = (registry) => {
    const files = { ...manager.settings(registry) };
    for (const [name, text] of Object.entries(files)) {
      if (name === '.npmrc') {
        // Where the machine's settings name authorities, those of the environment do not count.
        const ca = registry.startsWith('https:') ? `cafile=${env.NODE_EXTRA_CA_CERTS}\n` : '';
        files[name] = `${text}${registry.slice(registry.indexOf('//'))}/:_authToken=${token}\nalways-auth=true\n${ca}`;
      }
      if (name === '.yarnrc.yml') files[name] = `${text}npmAuthToken: "${token}"\nnpmAlwaysAuth: true\n`;
    }
    return files;
  };
  return { ...manager, settings };
}

interface Machine {
  readonly folder: string;
  run(...args: readonly string[]): Promise<Ran>;
}

interface Options {
  readonly who?: string;
  readonly at?: HostedServer;
}

/** A project with an empty home: nothing is cached for it, and nobody is signed in. */
async function machine(
  manager: Manager,
  manifest: object,
  { who = 'alice', at = server }: Options = {},
): Promise<Machine> {
  const project = await createProject(folder.path, withToken(manager, tokens[who]), at.url, { ...manifest });
  return {
    folder: project.folder,
    run: (...args) => run(manager.id, args, { folder: project.folder, home: project.home, env }),
  };
}

const publishing: Readonly<Partial<Record<ManagerId, readonly string[]>>> = {
  npm: ['publish'],
  npm12: ['publish'],
  pnpm12: ['publish', '--no-git-checks'],
  yarn1: ['publish', '--non-interactive'],
  yarn4: ['npm', 'publish'],
  bun: ['publish'],
};

const code = "module.exports = 'published';\n";

/** What Yarn 4 writes for a project without dependencies: it publishes nothing that it has not seen. */
const yarnLock = (name: string): string =>
  `__metadata:\n  version: 10\n  cacheKey: 10c0\n\n"${name}@workspace:.":\n  version: 0.0.0-use.local\n  resolution: "${name}@workspace:."\n  languageName: unknown\n  linkType: soft\n`;

async function publish(manager: Manager, name: string, version = '1.0.0', options: Options = {}): Promise<Ran> {
  const project = await machine(manager, { name, version, private: false, license: 'MIT' }, options);
  await writeFile(join(project.folder, 'index.js'), code);
  if (manager.id === 'yarn4') await writeFile(join(project.folder, 'yarn.lock'), yarnLock(name));
  const versioned = manager.id === 'yarn1' ? ['--new-version', version] : [];
  return project.run(...(publishing[manager.id] ?? []), ...versioned);
}

const here = managers.filter(({ id }) => publishing[id] !== undefined && missing(id) === undefined);
const only = (...ids: readonly ManagerId[]): readonly Manager[] => here.filter(({ id }) => ids.includes(id));

function expectDone(ran: Ran): string {
  expect(ran.code, ran.output).toBe(0);
  return ran.output;
}

/** Lines that were broken to fit a terminal put together again. */
const unwrapped = ({ output }: Ran): string => output.replace(/\s*\n\s*(?:│ *)?/g, ' ');

describe.concurrent.each(here)('$id', (manager) => {
  test.each([
    ['HTTP', () => ({ at: server, who: 'alice' })],
    ['TLS', () => ({ at: secure, who: 'secure-alice' })],
  ])('publishes over %s, once, and another machine installs it', async (_name, where) => {
    const name = `@acme/by-${manager.id}`;
    expectDone(await publish(manager, name, '1.0.0', where()));
    const other = await machine(manager, { dependencies: { [name]: '1.0.0' } }, where());
    expectDone(await other.run(...manager.install));
    expect(await readFile(join(other.folder, 'node_modules', name, 'index.js'), 'utf8')).toBe(code);
    const again = await publish(manager, name, '1.0.0', where());
    expect(again.code, again.output).not.toBe(0);
    expect(again.output).toMatch(/cannot publish over (?:the )?previously published/i);
  });
});

// The machine's own npm says what the other one says.
describe.concurrent.each(here.filter(({ id }) => id !== 'npm'))('$id', (manager) => {
  /** Where the client keeps the reason to itself. */
  const own: Readonly<Partial<Record<ManagerId, Readonly<Record<string, RegExp>>>>> = {
    yarn4: { wrong: /Invalid authentication/, ended: /Invalid authentication/ },
    bun: { olga: /404 Not Found/, nobody: /404 Not Found/ },
  };

  test.each([
    ['wrong', /checksum does not match/],
    ['ended', /token expired on \d{4}-/],
    ['olga', /no repository acme\/packages/],
    ['nobody', /no repository acme\/packages/],
    ['rita', /rita may read @acme\/new in acme\/packages, but not publish/],
  ])('says why somebody may not publish: %s', async (who, says) => {
    const ran = await publish(manager, '@acme/new', '1.0.0', { who });
    expect(ran.code, ran.output).not.toBe(0);
    expect(unwrapped(ran)).toMatch(own[manager.id]?.[who] ?? says);
  });

  test.each([
    ['wrong', /401|checksum|authentication/i],
    ['olga', /404|no repository/i],
    ['without', /401|asks for credentials|authentication/i],
  ])('does not install what somebody may not read: %s', async (who, says) => {
    const { run: client } = await machine(manager, { dependencies: { '@acme/secret': '1.0.0' } }, { who });
    const ran = await client(...manager.install);
    expect(ran.code, ran.output).not.toBe(0);
    expect(unwrapped(ran)).toMatch(says);
  });
});

describe.concurrent.each(only('npm12', 'pnpm12'))('$id', (manager) => {
  test('changes what was published, and takes it away', async () => {
    const name = `@acme/kept-${manager.id}`;
    for (const version of ['1.0.0', '1.1.0']) expectDone(await publish(manager, name, version));
    const client = await machine(manager, {});
    const says = async (...args: readonly string[]): Promise<string> => expectDone(await client.run(...args));

    await says('deprecate', `${name}@1.0.0`, 'Use 1.1.');
    expect(await says('view', `${name}@1.0.0`, 'deprecated')).toContain('Use 1.1.');

    await says('dist-tag', 'add', `${name}@1.0.0`, 'stable');
    expect(await says('dist-tag', 'ls', name)).toMatch(/latest: 1\.1\.0\s+stable: 1\.0\.0/);
    await says('dist-tag', 'rm', name, 'stable');
    expect(await says('dist-tag', 'ls', name)).not.toContain('stable');

    const owner = manager.id === 'pnpm12' ? [name, 'rita'] : ['rita', name];
    await says('owner', 'add', ...owner);
    expect(await says('owner', 'ls', name)).toMatch(/alice[\s\S]*rita/);
    await says('owner', 'rm', ...owner);
    expect(await says('owner', 'ls', name)).not.toContain('rita');

    await says('access', 'set', 'status=public', name);
    expect(await says('access', 'get', 'status', name)).toContain('public');
    // pnpm expects a list, and no registry answers with one.
    if (manager.id !== 'pnpm12') expect(await says('access', 'list', 'collaborators', name)).toContain('alice');

    expect(await says('search', `kept-${manager.id}`)).toContain(name);
    expect(await says('whoami')).toContain('alice');

    await says('unpublish', `${name}@1.1.0`, '--force');
    expect(await says('view', name, 'dist-tags.latest', 'versions', '--json')).not.toContain('1.1.0');
    await says('unpublish', name, '--force');
    const gone = await client.run('view', name);
    expect(gone.code).not.toBe(0);
    expect(gone.output).toContain('404');
  });
});

describe.concurrent.each(only('yarn1', 'yarn4'))('$id', (manager) => {
  test('tags what was published', async () => {
    const name = `@acme/tagged-${manager.id}`;
    expectDone(await publish(manager, name));
    const project = await machine(manager, { name: 'project' });
    if (manager.id === 'yarn4') await writeFile(join(project.folder, 'yarn.lock'), yarnLock('project'));
    const tag = async (...args: readonly string[]): Promise<string> =>
      expectDone(await project.run(...(manager.id === 'yarn4' ? ['npm', 'tag'] : ['tag']), ...args));
    await tag('add', `${name}@1.0.0`, 'stable');
    expect(await tag('list', name)).toContain('stable');
    await tag('remove', name, 'stable');
    expect(await tag('list', name)).not.toContain('stable');
  });
});

/** Follows what the client writes: each time one of the texts has appeared, what stands for it is done, and what that gives is typed in. */
function runFollowing(
  manager: ManagerId,
  args: readonly string[],
  { folder: cwd, home }: { readonly folder: string; readonly home: string },
  steps: readonly (readonly [RegExp, (found: string) => string | undefined | Promise<undefined>])[],
): Promise<Ran> {
  const file = findProgram(manager) ?? manager;
  const machineNpm = dirname(findProgram('npm') ?? '/usr/bin/npm');
  const path = `${machineNpm}:/usr/local/bin:/usr/bin:/bin`;
  const left = [...steps];
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...args],
      { cwd, env: { PATH: path, HOME: home, ...env }, timeout: 120_000, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        const exit = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code: exit, stdout, stderr, output: `${stdout}\n${stderr}` });
      },
    );
    let seen = '';
    const follow = async (text: string): Promise<void> => {
      seen += text;
      const [pattern, answer] = left[0] ?? [];
      const found = pattern?.exec(seen);
      if (!found || !answer) return;
      left.shift();
      seen = '';
      const typed = await answer(found[0]);
      if (typed !== undefined) child.stdin?.write(`${typed}\n`);
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: string) => {
        follow(text).catch((error: unknown) => {
          child.kill('SIGKILL');
          reject(error);
        });
      });
    }
  });
}

/** What somebody does in a browser: signs in with a token, and lets the client log in. */
async function confirm(loginUrl: string, token: string): Promise<undefined> {
  const cookies = new Map<string, string>();
  const visit = async (url: string, form?: Readonly<Record<string, string>>): Promise<Answer> => {
    const headers = {
      cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
    };
    const sent = form ? { method: 'POST', body: new URLSearchParams(form).toString() } : {};
    const answer = await ask(url, { headers, ...sent });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    return answer;
  };
  const hidden = (page: Answer, name: string): string =>
    new RegExp(`name="${name}" value="([^"]*)"`).exec(page.text())?.[1] ?? '';
  const first = await visit(loginUrl);
  const session = hidden(first, 'session');
  const page = new URL(loginUrl);
  const signedIn = await visit(`${page.origin}${page.pathname}`, {
    key: hidden(first, 'key'),
    session,
    password: token,
  });
  expect(signedIn.status, signedIn.text()).toBe(303);
  const asked = await visit(String(signedIn.headers.location));
  const granted = await visit(`${page.origin}${page.pathname}/confirm`, {
    key: hidden(asked, 'key'),
    session: hidden(asked, 'session'),
    answer: 'grant',
  });
  expect(granted.status, granted.text()).toBe(200);
}

describe.concurrent('signing in', () => {
  async function signedInAndOut(manager: Manager, project: Project, login: Promise<Ran>): Promise<void> {
    expectDone(await login);
    expect(expectDone(await project.run('whoami'))).toContain('alice');
    expectDone(await project.run('logout'));
    expect((await project.run('whoami')).code, manager.id).not.toBe(0);
  }

  test.each(only('npm'))('with a token for a password: $id', async (manager) => {
    const project = await createProject(folder.path, manager, server.url, {});
    const login = runFollowing(manager.id, ['login', '--auth-type=legacy'], project, [
      [/Username:/, () => 'alice'],
      [/Password:/, () => tokens.alice],
    ]);
    await signedInAndOut(manager, project, login);
  });

  test.each(only('npm12', 'pnpm12'))('with a browser: $id', async (manager) => {
    const project = await createProject(folder.path, manager, server.url, {});
    const args = manager.id === 'pnpm12' ? ['login'] : ['login', '--auth-type=web', '--browser=false'];
    const login = runFollowing(manager.id, args, project, [
      [/https?:\/\/\S+\/ui\/login\?session=[\w-]{43}/, (url) => confirm(url, tokens.alice ?? '')],
    ]);
    await signedInAndOut(manager, project, login);
  });
});
