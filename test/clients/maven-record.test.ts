/** A Maven build, whose lockfile says nothing, is recorded, carried to a server without upstreams, and repeated there. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { larder } from '../commands/larder.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { debianRepository, type MavenUpstream, startMavenUpstream } from '../support/maven-upstream.ts';
import { mavenProject, missingJava, pomOf, type Texts } from './maven-projects.ts';

const missing = missingJava('mvn', 'java', 'the plugins of Maven', 'JUnit');

const program: Texts = {
  'src/main/java/demo/Demo.java': 'package demo;\npublic class Demo { public static int one() { return 1; } }\n',
  'src/test/java/demo/DemoTest.java': [
    'package demo;',
    'public class DemoTest {',
    '  @org.junit.Test public void isOne() { org.junit.Assert.assertEquals(1, Demo.one()); }',
    '}',
    '',
  ].join('\n'),
  'pom.xml': pomOf({ artifact: 'demo', version: '1.0.0', dependencies: ['junit:junit:4.13.2:jar:test'] }),
};

let folder: TemporaryFolder;
let central: MavenUpstream;

beforeAll(async () => {
  folder = await temporaryFolder();
  central = await startMavenUpstream({ folders: [debianRepository] });
});
afterAll(async () => {
  await central.upstream.close();
  await folder.remove();
});

async function server(name: string, offline: boolean): Promise<HostedServer> {
  const place = join(folder.path, name);
  await mkdir(place);
  return startHosted({
    format: 'maven',
    sources: [{ remote: 'central' }],
    upstreams: { central: { url: central.url, format: 'maven' } },
    access: [{ who: ['everyone'], may: ['read'] }],
    folder: place,
    more: { offline },
  });
}

test.skipIf(missing !== undefined)('a build that was recorded builds where nothing else is', async () => {
  const connected = await server('connected', false);
  // A build before has asked for more than ours will.
  await fetch(`${connected.url}/junit/junit/maven-metadata.xml`);
  const first = await mavenProject(folder.path, undefined, program);
  const token = await connected.token('nobody');
  const recorded = await larder(
    // biome-ignore format: as it is typed
    ['record', '--name', 'build-42', '--url', connected.root, '--',
     'mvn', '-B', '-q', '-DforkCount=0', `-Dmaven.repo.local=${first.fetched}`, 'package'],
    { cwd: first.folder, env: { HOME: first.home, LARDER_TOKEN: token } },
  );
  expect(recorded, recorded.out).toMatchObject({
    code: 0,
    err: expect.stringMatching(/\d{2,} things were recorded as build-42\./),
  });
  expect((await first.read('target/demo-1.0.0.jar')).byteLength).toBeGreaterThan(500);
  await connected.stop();

  const bundle = join(folder.path, 'build-42.bundle');
  const exported = await larder([
    'export',
    '-c',
    connected.configFile,
    '--set',
    'build-42',
    '--unsigned',
    '-o',
    bundle,
  ]);
  expect(exported, exported.err).toMatchObject({ code: 0 });
  const closed = await server('closed', true);
  const imported = await larder(['import', '-c', closed.configFile, '--unsigned', bundle]);
  expect(imported, imported.err).toMatchObject({ code: 0 });

  central.upstream.forget();
  const second = await mavenProject(folder.path, closed.url, program);
  const ran = await second.run('-q', 'package');
  expect(ran, ran.output).toMatchObject({ code: 0 });
  const other = await fetch(`${closed.url}/junit/junit/maven-metadata.xml`);
  expect([other.status, other.headers.get('x-larder-cache')]).toEqual([404, 'offline']);
  expect(central.log()).toEqual([]);
  await closed.stop();
});
