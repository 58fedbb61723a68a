/** Debian's nuget (2.8.7 on Mono) publishes, and on other machines nuget installs: with keys that are good, and with others. */
import { accessSync, constants } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { packageOf } from '../support/nuget-packages.ts';
import { type Ran, run } from './package-managers.ts';

function missingNuget(): string | undefined {
  try {
    accessSync('/usr/bin/nuget', constants.X_OK);
    return undefined;
  } catch {
    const reason = 'nuget is not installed: the packages that .ci/run lists have it';
    if (process.env.CI === 'true') throw new Error(reason);
    return reason;
  }
}

const noNuget = missingNuget();

let folder: TemporaryFolder;
let hosted: HostedServer;

beforeAll(async () => {
  if (noNuget) return;
  folder = await temporaryFolder('larder-nuget');
  hosted = await startHosted({ format: 'nuget' });
});

afterAll(async () => {
  await hosted?.close();
  await folder?.remove();
});

/** A machine that knows the source, with a password for it or without one. */
async function machine(password?: string, server: HostedServer = hosted): Promise<string> {
  const home = await mkdtemp(join(folder.path, 'home-'));
  const credentials =
    password === undefined
      ? ''
      : `<packageSourceCredentials><larder><add key="Username" value="token"/><add key="ClearTextPassword" value="${password}"/></larder></packageSourceCredentials>`;
  await mkdir(join(home, '.config/NuGet'), { recursive: true });
  await writeFile(
    join(home, '.config/NuGet/NuGet.Config'),
    `<?xml version="1.0" encoding="utf-8"?>\n<configuration><packageSources><add key="larder" value="${server.url}/v2/"/></packageSources>${credentials}</configuration>\n`,
  );
  return home;
}

/** Of the subject that the tests' certificates have; Mono finds those that it trusts by it, as OpenSSL does (`openssl x509 -subject_hash`). */
const subjectHash = '09fde150';

/** What `cert-sync --user` does. */
async function trust(home: string, caFile: string): Promise<void> {
  const store = join(home, '.config/.mono/new-certs/Trust');
  await mkdir(store, { recursive: true });
  await copyFile(caFile, join(store, `${subjectHash}.0`));
}

async function nuget(home: string, ...args: readonly string[]): Promise<Ran> {
  return run('/usr/bin/nuget', [...args, '-Source', 'larder', '-NonInteractive'], {
    folder: home,
    home,
    env: { LC_ALL: 'C.UTF-8' },
  });
}

/** Relative, because Mono takes a path that begins with a slash for an option. */
async function push(home: string, id: string, version: string, ...key: readonly string[]): Promise<Ran> {
  const file = `${id}.${version}.nupkg`;
  await writeFile(join(home, file), packageOf({ id, version }));
  return nuget(home, 'push', file, ...key);
}

/** Names of what was installed, with the packages’ bytes. */
async function installed(home: string, ...args: readonly string[]): Promise<Readonly<Record<string, Buffer>>> {
  const ran = await nuget(home, 'install', ...args, '-OutputDirectory', 'packages');
  expect({ code: ran.code, err: ran.stderr }).toEqual({ code: 0, err: '' });
  const names = await readdir(join(home, 'packages'));
  const packages = names.map(
    async (name) => [name, await readFile(join(home, 'packages', name, `${name}.nupkg`))] as const,
  );
  return Object.fromEntries(await Promise.all(packages));
}

/** Without a terminal it writes empty lines for ever, because a line that is no character wide is never full. */
async function list(home: string, text: string): Promise<Ran> {
  const command = `stty cols 120 rows 40; /usr/bin/nuget list ${text} -Source larder -NonInteractive`;
  return run('/usr/bin/script', ['-qec', command, '/dev/null'], {
    folder: home,
    home,
    env: { LC_ALL: 'C.UTF-8', TERM: 'xterm' },
  });
}

/** In one line, as its wide or narrow terminal would not break it. */
const said = ({ output }: Ran): string => output.replace(/\s+/g, ' ');

describe.skipIf(noNuget)('nuget 2.8', () => {
  test('publishes with a key, and another machine installs; what is deleted is installed by who names it', async () => {
    const key = await hosted.token('alice');
    const alice = await machine(await hosted.token('alice', { may: ['read'] }));
    expect(said(await push(alice, 'Acme.Tools', '1.0.0', key))).toContain('Your package was pushed.');
    expect(said(await push(alice, 'Acme.Tools', '1.1.0', key))).toContain('Your package was pushed.');

    const password = await hosted.token('rita');
    expect(await installed(await machine(password), 'acme.tools')).toEqual({
      'Acme.Tools.1.1.0': packageOf({ id: 'Acme.Tools', version: '1.1.0' }),
    });
    const listed = async () => said(await list(await machine(password), 'acme'));
    expect(await listed()).toContain('Acme.Tools 1.1.0');

    const again = await push(alice, 'Acme.Tools', '1.1.0', key);
    expect(again.code).not.toBe(0);
    expect(said(again)).toContain(
      'Acme.Tools 1.1.0 is published already. A version never changes: publish another one.',
    );

    const deleted = await nuget(alice, 'delete', 'Acme.Tools', '1.1.0', key);
    expect(said(deleted)).toContain('Acme.Tools 1.1.0 was deleted successfully.');
    expect(await listed()).toContain('Acme.Tools 1.0.0');
    expect(Object.keys(await installed(await machine(password), 'Acme.Tools'))).toEqual(['Acme.Tools.1.0.0']);
    expect(Object.keys(await installed(await machine(password), 'Acme.Tools', '-Version', '1.1.0'))).toEqual([
      'Acme.Tools.1.1.0',
    ]);
  });

  test('publishes with the password of the source alone', async () => {
    const ran = await push(await machine(await hosted.token('alice')), 'Acme.Plain', '1.0.0');
    expect(said(ran)).toContain('Your package was pushed.');
  });

  test('publishes and installs over TLS, once it trusts the certificate', async () => {
    const server = await startHosted({ format: 'nuget', tls: true });
    onTestFinished(() => server.close());
    const alice = await machine(await server.token('alice'), server);
    const refused = await push(alice, 'Acme.Tools', '1.0.0');
    expect(said(refused)).toContain('TrustFailure');
    await trust(alice, server.caFile);
    expect(said(await push(alice, 'Acme.Tools', '1.0.0'))).toContain('Your package was pushed.');
    const rita = await machine(await server.token('rita'), server);
    await trust(rita, server.caFile);
    expect(Object.keys(await installed(rita, 'Acme.Tools'))).toEqual(['Acme.Tools.1.0.0']);
  });

  /** It is asked for a password as soon as it looks at the source, and prints nothing of what the answer says. */
  const asked = 'Cannot prompt for input in non-interactive mode.';

  test.concurrent.each<[string, () => Promise<string>, string]>([
    ['a wrong key', async () => wrongToken, asked],
    ['an expired key', () => hosted.expiredToken(), asked],
    ['a key of another organisation', () => hosted.token('olga'), 'There is no repository acme/packages here.'],
    ['a key of somebody who may only read', () => hosted.token('rita'), 'but not publish it'],
    [
      'a key of somebody whom no rule mentions',
      () => hosted.token('nobody'),
      'There is no repository acme/packages here.',
    ],
  ])('says of %s what there is to say', async (_what, key, expected) => {
    const secret = await key();
    const ran = await push(await machine(secret), 'Acme.Refused', '1.0.0', secret);
    expect(ran.code).not.toBe(0);
    expect(said(ran)).toContain(expected);
  });

  test.concurrent.each<[string, () => Promise<string | undefined>]>([
    ['no password', async () => undefined],
    ['a wrong password', async () => wrongToken],
    ['an expired password', () => hosted.expiredToken('rita')],
  ])('installs nothing with %s', async (_what, password) => {
    const ran = await nuget(await machine(await password()), 'install', 'Acme.Tools');
    expect(ran.code).not.toBe(0);
    expect(said(ran)).toContain(asked);
  });
});
