/** Clients that publish and install through nginx with TLS, which sends large files itself (docs/proxies.md). */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { issued } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { debianRepository, startMavenUpstream } from '../support/maven-upstream.ts';
import { sourceOf, wheelOf } from '../support/pypi-packages.ts';
import { uploadOf } from '../support/pypi-uploads.ts';
import { missingPrograms, runProgram } from './image-clients.ts';
import { mavenProject, missingJava, pomOf } from './maven-projects.ts';
import { createProject, managers, missing, type Ran, run } from './package-managers.ts';
import { findPips, pythonPlace } from './python-clients.ts';
import { folderFor, type ReverseProxy, startNginx } from './reverse-proxies.ts';

const noNginx = missingPrograms('nginx');
const noMaven = noNginx ?? missingJava('mvn', 'java', 'the plugins of Maven');
const noSkopeo = noNginx ?? missingPrograms('skopeo');
const [npm] = managers;
const noNpm = noNginx ?? missing('npm');
const [pip] = findPips();

let folder: TemporaryFolder;
let server: HostedServer;
let proxy: ReverseProxy;
/** A folder with nothing but the file. */
let trusted: string;
let caFile: string;
let token: string;
/** More than Larder would send by itself, and nothing that a client could make smaller. */
const noise = randomBytes(2_000_000);
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  if (noNginx) return;
  folder = await temporaryFolder('larder-proxied');
  closing.push(() => folder.remove());
  const { ca, cert, key } = issued();
  const file = (name: string): string => join(folder.path, name);
  for (const [name, text] of Object.entries({ 'proxy.crt': cert, 'proxy.key': key })) await writeFile(file(name), text);
  // skopeo takes every certificate in the folder that it is told.
  trusted = file('trusted');
  caFile = join(trusted, 'ca.crt');
  await mkdir(trusted);
  await writeFile(caFile, ca);
  const central = await startMavenUpstream({ folders: noMaven ? [] : [debianRepository], prefix: '/maven2' });
  closing.push(() => central.upstream.close());
  server = await startHosted({
    format: 'npm',
    folder: await folderFor(folder.path, 'larder'),
    upstreams: { central: { url: central.url, format: 'maven' } },
    repositories: {
      images: { format: 'oci', sources: [{ hosted: true }] },
      pypi: { format: 'pypi', sources: [{ hosted: true }] },
      maven: { format: 'maven', sources: [{ hosted: true, claims: ['com.acme:*'] }, { remote: 'central' }] },
    },
    access: [
      { who: ['user:alice'], may: ['read', 'publish'] },
      { who: ['everyone'], may: ['read'], repositories: ['maven', 'pypi'] },
    ],
    server: { trustedProxies: ['127.0.0.1'], handOff: {} },
  });
  closing.push(() => server.close());
  token = await server.token('alice');
  proxy = await startNginx('hand-off', {
    folder: folder.path,
    certificate: { certFile: file('proxy.crt'), keyFile: file('proxy.key') },
    larderPort: Number(new URL(server.root).port),
    storage: join(server.folder, 'data'),
  });
  closing.push(() => proxy.close());
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

function expectDone(ran: Pick<Ran, 'code' | 'output'>): void {
  expect(ran.code, ran.output).toBe(0);
}

/** Files that nginx sends, by their addresses, until the test ends. */
function sent(): string[] {
  const urls: string[] = [];
  onTestFinished(subscribe('request', ({ url, handOff }) => handOff === 'given' && urls.push(url)));
  return urls;
}

describe('through nginx', () => {
  test.skipIf(noNpm)(noNpm ?? 'npm publishes and installs', async () => {
    if (!npm) throw new Error('There is no npm');
    const registry = `${proxy.origin}/acme/packages`;
    const withToken = {
      ...npm,
      settings: (at: string) => ({
        '.npmrc': `${npm.settings(at)['.npmrc']}${at.replace(/^https:/, '')}/:_authToken=${token}\ncafile=${caFile}\n`,
      }),
    };
    const env = { NODE_EXTRA_CA_CERTS: caFile };
    const name = '@acme/large';
    const made = await createProject(folder.path, withToken, registry, { name, private: false });
    await writeFile(join(made.folder, 'data.bin'), noise);
    expectDone(await run('npm', ['publish'], { folder: made.folder, home: made.home, env }));
    const urls = sent();
    const other = await createProject(folder.path, withToken, registry, { dependencies: { [name]: '1.0.0' } });
    expectDone(await run('npm', ['install'], { folder: other.folder, home: other.home, env }));
    expect((await readFile(join(other.folder, 'node_modules', name, 'data.bin'))).equals(noise)).toBe(true);
    expect(await other.lock()).toContain(`"resolved": "${registry}/@acme/large/-/large-1.0.0.tgz"`);
    expect(urls).toEqual(['/acme/packages/@acme/large/-/large-1.0.0.tgz']);
  });

  test.skipIf(noSkopeo)(noSkopeo ?? 'skopeo pushes and pulls', async () => {
    const image = await imageWith(gzipSync(noise));
    const name = `docker://localhost:${proxy.port}/acme/images/app:1`;
    const skopeo = (...args: readonly string[]): Promise<Ran> =>
      runProgram('skopeo', ['--insecure-policy', 'copy', ...args], folder.path) as Promise<Ran>;
    expectDone(await skopeo('--dest-cert-dir', trusted, '--dest-creds', `alice:${token}`, `dir:${image}`, name));
    const urls = sent();
    const back = join(folder.path, 'back');
    expectDone(await skopeo('--src-cert-dir', trusted, '--src-creds', `alice:${token}`, name, `dir:${back}`));
    for (const file of await readdir(image)) {
      expect([file, (await readFile(join(back, file))).equals(await readFile(join(image, file)))]).toEqual([
        file,
        true,
      ]);
    }
    expect(urls).toEqual([expect.stringMatching(/^\/v2\/acme\/images\/app\/blobs\/sha256:/)]);
  });

  test.skipIf(noNginx || !pip)(noNginx ?? 'pip installs', async () => {
    const made = { name: 'acme-large', version: '1.0', paddingBytes: 2_000_000 };
    for (const file of [wheelOf(made), sourceOf({ name: 'acme-large', version: '0.9' })]) {
      const { headers, body } = uploadOf(file);
      const authorization = `Basic ${Buffer.from(`__token__:${token}`).toString('base64')}`;
      const sentHeaders = { ...(headers as Record<string, string>), authorization };
      const ca = await readFile(caFile, 'utf8');
      const answer = await ask(`${proxy.origin}/acme/pypi/`, { method: 'POST', body, ca, headers: sentHeaders });
      expect(answer.status, answer.text()).toBe(200);
    }
    const urls = sent();
    const place = await pythonPlace(folder.path, {});
    const index = ['--index-url', `${proxy.origin}/acme/pypi/simple/`, '--cert', caFile];
    expectDone(
      await place.run(pip?.python ?? '', '-m', 'pip', 'download', '--no-deps', '--dest', 'got', ...index, 'acme-large'),
    );
    expect((await readFile(join(place.folder, 'got', wheelOf(made).filename))).equals(wheelOf(made).bytes)).toBe(true);
    expect(urls).toHaveLength(1);
  });

  test.skipIf(noMaven)(noMaven ?? 'Maven builds', async () => {
    const at = `${proxy.origin}/acme/maven`;
    const ca = await readFile(caFile, 'utf8');
    const jar = Buffer.concat([wheelOf({ name: 'x', version: '1', paddingBytes: 2_000_000 }).bytes]);
    const pom = pomOf({ artifact: 'large', version: '1.0' });
    for (const [name, body] of Object.entries({ 'large-1.0.jar': jar, 'large-1.0.pom': pom })) {
      const url = `${at}/com/acme/large/1.0/${name}`;
      const answer = await ask(url, { method: 'PUT', ca, body, headers: { authorization: `Bearer ${token}` } });
      expect(answer.status, answer.text()).toBeLessThan(300);
    }
    const store = join(folder.path, 'trusted.p12');
    const keytool = ['-importcert', '-noprompt', '-file', caFile, '-keystore', store, '-storepass', 'changeit'];
    expectDone(await run('keytool', keytool, { folder: folder.path, home: folder.path }));
    const urls = sent();
    const project = await mavenProject(folder.path, at, {
      'pom.xml': pomOf({ artifact: 'demo', version: '1.0', dependencies: ['com.acme:large:1.0'] }),
      'src/main/java/demo/Demo.java': 'package demo;\npublic class Demo {}\n',
    });
    const trust = [`-Djavax.net.ssl.trustStore=${store}`, '-Djavax.net.ssl.trustStorePassword=changeit'];
    expectDone(await project.run('-C', '-q', ...trust, 'compile'));
    expect((await readFile(join(project.fetched, 'com/acme/large/1.0/large-1.0.jar'))).equals(jar)).toBe(true);
    expect(urls).toContain('/acme/maven/com/acme/large/1.0/large-1.0.jar');
  });
});

/** In the form that skopeo calls `dir`, of one layer. */
async function imageWith(layer: Buffer): Promise<string> {
  const place = await mkdtemp(join(folder.path, 'image-'));
  const kind = 'application/vnd.oci.image';
  const put = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(place, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  await mkdir(place, { recursive: true });
  const diff = `sha256:${createHash('sha256').update(noise).digest('hex')}`;
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diff] } };
  const manifest = {
    schemaVersion: 2,
    mediaType: `${kind}.manifest.v1+json`,
    config: await put(Buffer.from(JSON.stringify(config)), `${kind}.config.v1+json`),
    layers: [await put(layer, `${kind}.layer.v1.tar+gzip`)],
  };
  await writeFile(join(place, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(join(place, 'version'), 'Directory Transport Version: 1.1\n');
  return place;
}
