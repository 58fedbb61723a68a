/**
 * Maven, Gradle and Ivy's publisher deploy to a repository that also is their mirror, and other machines build with what
 * they deployed; what each says when it may not.
 */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command } from '../commands/larder.ts';
import { hashOf } from '../support/bytes.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { debianRepository, type MavenUpstream, startMavenUpstream } from '../support/maven-upstream.ts';
import { filesIn, missingJava, pomOf, type Texts } from './maven-projects.ts';
import { type Ran, run } from './package-managers.ts';

const noMaven = missingJava('mvn', 'java', 'the plugins of Maven');
const noGradle = noMaven ?? missingJava('gradle');

// Programs this short gain nothing from the second compiler and from parallel collectors.
const quickJava = '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC';

let folder: TemporaryFolder;
let central: MavenUpstream;
let server: HostedServer;
let alice: string;
let rita: string;
let expired: string;
/** Milliseconds by which the server's clock is ahead. */
let laterMs = 0;
const now = (): number => Date.now() + laterMs;
const closing: (() => Promise<void>)[] = [];

async function start(tls: boolean): Promise<HostedServer> {
  const started = await startHosted({
    format: 'maven',
    tls,
    now,
    upstreams: { central: { url: central.url, format: 'maven', retries: 0 } },
    sources: [{ hosted: true, claims: ['com.acme:*', 'com.acme.*'] }, { remote: 'central' }],
  });
  closing.push(() => started.close());
  return started;
}

beforeAll(async () => {
  if (noMaven) return;
  folder = await temporaryFolder('larder-maven-publish');
  closing.push(() => folder.remove());
  central = await startMavenUpstream({ folders: [debianRepository], prefix: '/maven2' });
  closing.push(() => central.upstream.close());
  server = await start(false);
  alice = await server.token('alice');
  rita = await server.token('rita');
  expired = await server.token('alice', { expiresAt: now() + 60_000 });
  laterMs = 61_000;
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

interface Machine {
  readonly folder: string;
  readonly home: string;
  /** Where the client keeps what it fetched; empty at first. */
  readonly fetched: string;
  write(files: Texts): Promise<void>;
  mvn(...args: readonly string[]): Promise<Ran>;
}

/** Somebody's computer with what `larder setup` wrote for them, and a token in the environment. */
async function machine(at: HostedServer, token: string, files: Texts, java = ''): Promise<Machine> {
  const path = await mkdtemp(join(folder.path, 'machine-'));
  const place = { folder: join(path, 'project'), home: join(path, 'home') };
  const write = async (texts: Texts): Promise<void> => {
    for (const [name, text] of Object.entries(texts)) {
      await mkdir(dirname(join(place.folder, name)), { recursive: true });
      await writeFile(join(place.folder, name), text);
    }
  };
  await mkdir(place.home);
  await write(files);
  const wrote = await command(['setup', 'maven', '--write', '--url', at.url, '--token-env', 'LARDER_TOKEN'], {
    HOME: place.home,
  });
  expect(wrote, wrote.err).toMatchObject({ code: 0 });
  const env = { MAVEN_OPTS: `-Duser.home=${place.home} ${quickJava} ${java}`, LARDER_TOKEN: token };
  return {
    ...place,
    fetched: join(place.home, '.m2/repository'),
    write,
    // Tests run in Maven's own process: a forked one takes ten seconds to be told that it is done (Surefire 2.22.3).
    mvn: (...args) => run('mvn', ['-B', '-DforkCount=0', ...args], { ...place, env }),
  };
}

const deployTo = ({ url }: HostedServer): readonly string[] => [
  '-Dmaven.install.skip',
  '-Dmaven.test.skip',
  `-DaltDeploymentRepository=larder::${url}`,
];

const javaOf = (artifact: string, text: string): string =>
  `package ${artifact};\npublic class Lib { public static String text() { return "${text}"; } }\n`;

/** A library of one class that tells who it is. */
const library = (artifact: string, version: string, text = `${artifact} ${version}`, at = ''): Texts => ({
  [`${at}pom.xml`]: pomOf({ artifact, version }),
  [`${at}src/main/java/${artifact}/Lib.java`]: javaOf(artifact, text),
});

/** A program that does not compile without these, and whose test says what they told. */
const programOf = (...dependencies: readonly string[]): Texts => ({
  'pom.xml': pomOf({ artifact: 'demo', version: '1.0.0', dependencies }),
  'src/main/java/demo/Demo.java': `package demo;\npublic class Demo { String text = ${dependencies
    .map((one) => `${one.split(':')[1]}.Lib.text()`)
    .join(' + ')}; }\n`,
});

const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function served(path: string): Promise<Buffer> {
  const answer = await ask(`${server.url}/${path}`, as(rita));
  expect(answer.status, path).toBe(200);
  return answer.body;
}

function expectDone(ran: Ran): void {
  expect(ran, ran.output).toMatchObject({ code: 0 });
}

describe('what Maven deployed', () => {
  let publisher: Machine;
  let reader: Machine;

  test.skipIf(noMaven)(noMaven ?? 'from four modules at once is what another machine builds with', async () => {
    const modules = ['alpha', 'beta', 'gamma'];
    publisher = await machine(server, alice, {
      'pom.xml': pomOf({ artifact: 'all', version: '1.0.0', modules }),
      ...Object.assign({}, ...modules.map((module) => library(module, '1.0.0', module, `${module}/`))),
    });
    expectDone(await publisher.mvn('-T4', 'deploy', ...deployTo(server)));
    for (const module of [...modules, 'all']) {
      expect((await served(`com/acme/${module}/maven-metadata.xml`)).toString()).toContain('<release>1.0.0</release>');
    }
    const jar = await readFile(join(publisher.folder, 'alpha/target/alpha-1.0.0.jar'));
    expect(await served('com/acme/alpha/1.0.0/alpha-1.0.0.jar')).toEqual(jar);
    expect((await served('com/acme/alpha/1.0.0/alpha-1.0.0.jar.sha1')).toString()).toBe(hashOf(jar, 'sha1'));

    reader = await machine(server, rita, programOf('com.acme:alpha:[1.0,2.0)', 'com.acme:gamma:1.0.0'));
    expectDone(await reader.mvn('-C', 'compile'));
    expect(await filesIn(reader.fetched)).toEqual(
      expect.arrayContaining([
        '/com/acme/alpha/1.0.0/alpha-1.0.0.jar',
        '/com/acme/gamma/1.0.0/gamma-1.0.0.jar',
        '/com/acme/alpha/maven-metadata-larder.xml',
      ]),
    );
  });

  test.skipIf(noMaven)(noMaven ?? 'twice as a snapshot, over TLS, is what another machine gets', async () => {
    const secure = await start(true);
    const store = join(folder.path, 'trusted.p12');
    const keytool = ['-importcert', '-noprompt', '-file', secure.caFile, '-keystore', store, '-storepass', 'changeit'];
    expectDone(await run('keytool', keytool, { folder: folder.path, home: folder.path }));
    const trust = `-Djavax.net.ssl.trustStore=${store} -Djavax.net.ssl.trustStorePassword=changeit`;
    const token = await secure.token('alice');
    let last: Buffer = Buffer.alloc(0);
    for (const text of ['first', 'second']) {
      const one = await machine(secure, token, library('snap', '1.0-SNAPSHOT', text), trust);
      // Maven's own plugins need not be fetched once more.
      expectDone(await one.mvn('deploy', `-Dmaven.repo.local=${publisher.fetched}`, ...deployTo(secure)));
      last = await readFile(join(one.folder, 'target/snap-1.0-SNAPSHOT.jar'));
    }
    const other = await machine(secure, await secure.token('rita'), programOf('com.acme:snap:1.0-SNAPSHOT'), trust);
    const ran = await other.mvn('-C', 'compile', `-Dmaven.repo.local=${reader.fetched}`);
    expectDone(ran);
    const got = /Downloaded from larder: (\S+)\/(snap-1.0-[\d.]+-2\.jar) /.exec(ran.output) ?? [];
    expect(got[1]).toBe(`${secure.url}/com/acme/snap/1.0-SNAPSHOT`);
    expect(await readFile(join(reader.fetched, 'com/acme/snap/1.0-SNAPSHOT', got[2] ?? ''))).toEqual(last);
  });
});

interface Refusal {
  readonly id: string;
  readonly token: () => Promise<string | undefined>;
  /** What is shown; of Maven behind the address, of Gradle behind the status. */
  readonly maven: RegExp;
  readonly gradle: RegExp;
}

const refusals: readonly Refusal[] = [
  {
    id: 'wrong',
    token: async () => wrongToken,
    maven: /authentication failed for \S+, status: 401 This token is mistyped/,
    gradle: /401 from server: This token is mistyped/,
  },
  {
    id: 'expired',
    token: async () => expired,
    maven: /authentication failed for \S+, status: 401 .*expired/,
    gradle: /401 from server: .*expired/,
  },
  {
    id: 'stranger',
    token: () => server.token('olga'),
    maven: /Could not find artifact com.acme:stranger:pom:1.0.0 in stranger/,
    gradle: /404 from server: There is no repository acme\/packages here/,
  },
  {
    id: 'unmentioned',
    token: () => server.token('nobody'),
    maven: /Could not find artifact com.acme:unmentioned:pom:1.0.0 in unmentioned/,
    gradle: /404 from server: There is no repository acme\/packages here/,
  },
  {
    id: 'reader',
    token: async () => rita,
    maven:
      /authorization failed for \S+, status: 403 rita may read com.acme:reader in acme\/packages, but not publish it/,
    gradle: /403 from server: rita may read com.acme:demo in acme\/packages, but not publish it/,
  },
  {
    id: 'nothing',
    token: async () => undefined,
    maven: /authentication failed for \S+, status: 401 acme\/packages asks for credentials/,
    gradle: /401 from server: acme\/packages asks for credentials/,
  },
  {
    id: 'taken',
    token: async () => alice,
    maven: /taken-1.0.0.pom.*, status: 409 .* is published already with other bytes/,
    gradle: /409 from server: com\/acme\/taken\/1.0.0\/taken-1.0.0.pom is published already with other bytes/,
  },
];

async function take(): Promise<void> {
  const path = 'com/acme/taken/1.0.0/taken-1.0.0.pom';
  const { status } = await ask(`${server.url}/${path}`, { method: 'PUT', body: '<project/>', ...as(alice) });
  expect([200, 201]).toContain(status);
}

test.skipIf(noMaven)(noMaven ?? 'maven says why something is not deployed', async () => {
  await take();
  const ids = refusals.map(({ id }) => id);
  const to = (id: string): string =>
    `<distributionManagement><repository><id>${id}</id><url>${server.url}</url></repository></distributionManagement>`;
  const one = await machine(server, alice, {
    'pom.xml': pomOf({ artifact: 'all', version: '1.0.0', modules: ids }),
    ...Object.fromEntries(
      ids.map((id) => [
        `${id}/pom.xml`,
        pomOf({ artifact: id, version: '1.0.0' }).replace(
          '<properties>',
          `<packaging>pom</packaging>${to(id)}<properties>`,
        ),
      ]),
    ),
  });
  const servers = await Promise.all(
    refusals.map(async ({ id, token }) => {
      const shown = await token();
      const what = `<server><id>${id}</id><username>token</username><password>${shown}</password></server>`;
      return shown === undefined ? '' : what;
    }),
  );
  const file = join(one.home, '.m2/settings.xml');
  const settings = await readFile(file, 'utf8');
  await writeFile(file, settings.replace('</servers>', `${servers.join('')}</servers>`));
  const ran = await one.mvn('-fae', 'deploy', '-Dmaven.install.skip', '-pl', ids.join(','));
  expect(ran.code).not.toBe(0);
  const said = ran.output.split('\n').filter((line) => line.startsWith('[ERROR] Failed to execute goal'));
  expect(said).toHaveLength(refusals.length);
  for (const { id, maven } of refusals) {
    expect(said.find((line) => line.includes(`on project ${id}:`))).toMatch(maven);
  }
});

/** Gradle in Debian's package lacks a library that Gradle's own way of publishing to Maven repositories needs. */
const mended = [
  'def withPublishing = org.gradle.api.publish.maven.MavenPublication.class.classLoader',
  "withPublishing.addURL(new File('/usr/share/java/maven-resolver-transport-wagon.jar').toURI().toURL())",
];

async function gradle({ folder: project, home }: Machine, token: string, ...args: readonly string[]): Promise<Ran> {
  const java = `-Duser.home=${home} ${quickJava} --add-opens=java.base/java.net=ALL-UNNAMED`;
  const env = { JAVA_TOOL_OPTIONS: java, LARDER_TOKEN: token };
  return run('gradle', ['--no-daemon', ...args], { folder: project, home, env });
}

describe('gradle', () => {
  test.skipIf(noGradle)(noGradle ?? 'publishes, and says why something is not published', async () => {
    await take();
    const repositories = await Promise.all(
      [...refusals, { id: 'own', token: async () => alice }].map(async ({ id, token }) => {
        const shown = await token();
        const credentials = shown === undefined ? '' : `credentials { username 'token'; password '${shown}' }`;
        return `    maven { name '${id}'; url '${server.url}/'; ${credentials} }`;
      }),
    );
    const build = [
      ...mended,
      "['java', 'maven-publish', 'ivy-publish'].each { apply plugin: it }",
      "group = 'com.acme'",
      "version = '1.0.0'",
      'publishing {',
      '  publications {',
      '    lib(MavenPublication) { from components.java }',
      "    snap(MavenPublication) { from components.java; artifactId 'demo-snap'; version '1.0-SNAPSHOT' }",
      "    taken(MavenPublication) { from components.java; artifactId 'taken' }",
      "    ivy(IvyPublication) { from components.java; module 'demo-ivy' }",
      '  }',
      '  repositories {',
      ...repositories,
      `    ivy { name 'ivy'; url '${server.url}/'; credentials { username 'token'; password '${alice}' } }`,
      '  }',
      '}',
      '',
    ].join('\n');
    const one = await machine(server, alice, {
      'build.gradle': build,
      'settings.gradle': "rootProject.name = 'demo'\n",
      'src/main/java/demo/Lib.java': javaOf('demo', 'gradle'),
    });
    const to = (publication: string, repository: string): string =>
      `publish${publication}PublicationTo${repository.charAt(0).toUpperCase()}${repository.slice(1)}Repository`;
    const refused = refusals.map(({ id }) => [id, to(id === 'taken' ? 'Taken' : 'Lib', id)] as const);
    const done = [to('Lib', 'own'), to('Snap', 'own'), to('Ivy', 'ivy')];
    const ran = await gradle(one, alice, '--continue', ...done, ...refused.map(([, task]) => task));
    expect(ran.code).not.toBe(0);
    const said = ran.output.split('* What went wrong:').slice(1);
    expect(said, ran.output).toHaveLength(refusals.length);
    for (const { id, gradle: words } of refusals) {
      const task = refused.find(([one]) => one === id)?.[1];
      expect(said.find((text) => text.includes(`':${task}'`))).toMatch(words);
    }
    const jar = await readFile(join(one.folder, 'build/libs/demo-1.0.0.jar'));
    expect(await served('com/acme/demo/1.0.0/demo-1.0.0.jar')).toEqual(jar);
    expect(await served('com.acme/demo-ivy/1.0.0/demo-ivy-1.0.0.jar')).toEqual(jar);
    expect((await served('com.acme/demo-ivy/1.0.0/ivy-1.0.0.xml')).toString()).toContain('module="demo-ivy"');
    const told = (await served('com/acme/demo-snap/1.0-SNAPSHOT/maven-metadata.xml')).toString();
    const [, stamped] = /<extension>jar<\/extension>\s*<value>(.+)<\/value>/.exec(told) ?? [];
    expect(await served(`com/acme/demo-snap/1.0-SNAPSHOT/demo-snap-${stamped}.jar`)).toEqual(jar);
  });

  test.skipIf(noGradle)(noGradle ?? 'builds on another machine with what was published', async () => {
    const other = await machine(server, rita, {
      'build.gradle': [
        "apply plugin: 'java'",
        'repositories { mavenCentral() }',
        "dependencies { compile 'com.acme:demo:1.+'; compile 'com.acme:demo-snap:1.0-SNAPSHOT' }",
        '',
      ].join('\n'),
      'settings.gradle': "rootProject.name = 'other'\n",
      'src/main/java/other/Other.java': 'package other;\nclass Other { String text = demo.Lib.text(); }\n',
    });
    const wrote = await command(['setup', 'gradle', '--write', '--url', server.url, '--token-env', 'LARDER_TOKEN'], {
      HOME: other.home,
    });
    expect(wrote, wrote.err).toMatchObject({ code: 0 });
    const ran = await gradle(other, rita, 'classes');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const fetched = await filesIn(join(other.home, '.gradle/caches/modules-2/files-2.1'));
    expect(fetched.filter((path) => path.endsWith('.jar'))).toHaveLength(2);
  });
});

test.skipIf(noMaven)(noMaven ?? 'nothing that was published or asked for here left for the upstream', () => {
  expect(central.log().length).toBeGreaterThan(0);
  expect(central.log().filter((line) => /com[./]acme/.test(line))).toEqual([]);
});
