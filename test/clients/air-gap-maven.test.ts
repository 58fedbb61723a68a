/** A Maven build is recorded, carried in parts to a server in a network namespace with no way out, and repeated there from nothing. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, larder as program, type Run } from '../commands/larder.ts';
import { sha256Of } from '../support/bytes.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Larder, type LarderProcess, type Settings, spawnLarder, startLarder } from '../support/larder.ts';
import { debianRepository, kindOf, type MavenUpstream, startMavenUpstream } from '../support/maven-upstream.ts';
import { parseMetrics } from '../support/metrics.ts';
import { createNamespace, missingNamespaces, type Namespace } from '../support/namespace.ts';
import { missingPrograms, mustRun, runProgram } from './image-clients.ts';
import { filesIn, type JavaProject, mavenProject, missingJava, pomOf, type Texts } from './maven-projects.ts';

const reason =
  missingNamespaces() ?? missingJava('mvn', 'java', 'the plugins of Maven', 'JUnit') ?? missingPrograms('curl');

const demo: Texts = {
  'src/main/java/demo/Demo.java':
    'package demo;\npublic class Demo { public static String text() { return "here"; } }\n',
  'src/test/java/demo/DemoTest.java': [
    'package demo;',
    'public class DemoTest {',
    '  @org.junit.Test public void isHere() { org.junit.Assert.assertEquals("here", Demo.text()); }',
    '}',
    '',
  ].join('\n'),
  // A range is resolved by the list of versions in the metadata.
  'pom.xml': pomOf({
    artifact: 'demo',
    version: '1.0.0',
    dependencies: ['com.acme:lib:[1.0,2.0)', 'junit:junit:4.13.2:jar:test'],
  }),
};

let folder: TemporaryFolder;
let central: MavenUpstream;
let connected: Larder;
let namespace: Namespace;
/** In the namespace; outside of it its address means nothing. */
let closed: LarderProcess;

function settings(name: string): Settings {
  return {
    upstreamUrl: central.url,
    upstreams: { central: { url: central.url, format: 'maven' } },
    more: {
      offline: name === 'closed',
      orgs: {
        public: {
          repositories: { maven: { format: 'maven', sources: [{ remote: 'central' }] } },
          access: [{ who: ['everyone'], may: ['read'] }],
          recording: 'everyone',
        },
      },
    },
    folder: join(folder.path, name),
  };
}

async function expectDone(run: Promise<Run>): Promise<string> {
  const { code, out, err } = await run;
  expect(code, out + err).toBe(0);
  return out + err;
}

/** Inside, as a client would. */
const curl = (...args: readonly string[]): Promise<string> =>
  namespace.inside(() => mustRun(runProgram('curl', ['-sS', ...args], folder.path)));

/** Digests of what Maven fetched of everybody's. */
async function fetchedBy({ fetched }: Pick<JavaProject, 'fetched'>): Promise<Readonly<Record<string, string>>> {
  const paths = (await filesIn(fetched)).filter((path) => ['jar', 'pom'].includes(kindOf(path)));
  const digests = paths.map(async (path) => [path, sha256Of(await readFile(join(fetched, path)))] as const);
  return Object.fromEntries(await Promise.all(digests));
}

describe.skipIf(reason)(reason ?? 'a recorded build', () => {
  beforeAll(async () => {
    folder = await temporaryFolder('larder-gap-maven');
    central = await startMavenUpstream({ folders: [debianRepository], prefix: '/maven2' });
    for (const version of ['0.9.0', '1.0.0', '1.1.0']) central.publish({ group: 'com.acme', artifact: 'lib', version });
    connected = await startLarder(settings('connected'));
    namespace = createNamespace();
    closed = await namespace.inside(() => spawnLarder(settings('closed')));
  });

  afterAll(async () => {
    await Promise.all([connected, closed, central?.upstream].map((one) => one?.close()));
    namespace?.close();
    await folder?.remove();
  });

  test('is repeated with strict checksums where nobody can be asked', async () => {
    // Stored, but not by this build.
    const other = '/public/maven/com/acme/lib/0.9.0/lib-0.9.0.jar';
    expect((await connected.ask(other)).status).toBe(200);

    const built = await mavenProject(folder.path, undefined, demo);
    const maven = ['mvn', '-B', '-C', '-DforkCount=0', 'package'];
    const told = await expectDone(
      program(['record', '--name', 'build-42', '--url', connected.url, '--', ...maven], {
        cwd: built.folder,
        env: { HOME: built.home, MAVEN_OPTS: `-Duser.home=${built.home} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC` },
      }),
    );
    expect(told).toContain('BUILD SUCCESS');
    const fetched = await fetchedBy(built);
    expect(Object.keys(fetched)).toContain('/com/acme/lib/1.1.0/lib-1.1.0.jar');

    const file = join(folder.path, 'build-42.larder');
    const config = ['--config', connected.configFile];
    const made = JSON.parse(await expectDone(command(['keys', 'create', '--json', ...config])));
    const out = await expectDone(
      command(['export', '--set', 'build-42', '--parts', '4MB', '-o', file, '--json', ...config]),
    );
    // Each of them, and the list of versions for the range.
    expect((JSON.parse(out) as { records: number }).records).toBe(Object.keys(fetched).length + 1);
    const trusted = ['--config', closed.configFile, '--trust', made.publicKey];
    await expectDone(namespace.inside(() => program(['import', ...trusted, `${file}.001`])));

    const again = await mavenProject(folder.path, `${closed.url}/public/maven`, demo);
    const ran = await namespace.inside(() => again.run('-C', 'package'));
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(ran.output).toContain('Tests run: 1, Failures: 0');
    expect(await fetchedBy(again)).toEqual(fetched);
    expect((await stat(join(again.folder, 'target/demo-1.0.0.jar'))).size).toBeGreaterThan(1000);

    expect(await curl('-o', '/dev/null', '-w', '%{http_code}', `${closed.url}${other}`)).toBe('404');
    const metrics = parseMetrics(await curl('-f', `${closed.url}/metrics`));
    expect(metrics.sum('larder_requests_total', { repository: 'public/maven' })).toBeGreaterThan(100);
    for (const name of ['larder_upstream_responses_total', 'larder_upstream_failures_total']) {
      expect(metrics.sum(name), name).toBe(0);
    }
  });
});
