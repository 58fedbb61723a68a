/**
 * Maven, Gradle and Ivy build with nothing but Larder to ask. Behind it are two upstreams: Debian's own repository of
 * Java packages, and a small one of artifacts that Maven built and deployed.
 */
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command } from '../commands/larder.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import {
  debianRepository,
  type Fault,
  kindOf,
  type MavenUpstream,
  startMavenUpstream,
} from '../support/maven-upstream.ts';
import {
  filesIn,
  gradleProject,
  ivyProject,
  type JavaProject,
  mavenProject,
  missingJava,
  pomOf,
  type Texts,
} from './maven-projects.ts';

const noMaven = missingJava('mvn', 'java', 'the plugins of Maven', 'JUnit');
const noGradle = noMaven ?? missingJava('gradle');
const noIvy = noMaven ?? missingJava('ivy');

const libraryVersions = ['1.0.0', '1.1.0'];

/** A program that needs a library of ours and, for its test, JUnit. */
const program: Texts = {
  'src/main/java/demo/Demo.java':
    'package demo;\npublic class Demo { public static String text() { return "library " + lib.Lib.version(); } }\n',
  'src/main/resources/demo.properties': 'name=demo\n',
  'src/test/java/demo/DemoTest.java': [
    'package demo;',
    'import static org.junit.Assert.assertEquals;',
    'public class DemoTest {',
    '  @org.junit.Test public void tellsTheVersion() { assertEquals("library 1.1.0", Demo.text()); }',
    '}',
    '',
  ].join('\n'),
};

const mavenProgram: Texts = {
  ...program,
  // A range is resolved by the list of versions in the metadata.
  'pom.xml': pomOf({
    artifact: 'demo',
    version: '1.0.0',
    dependencies: ['com.acme:lib:[1.0,2.0)', 'junit:junit:4.13.2:jar:test'],
  }),
};

/** The least that has to fetch these. */
const dependent = (...dependencies: readonly string[]): Texts => ({
  'src/main/java/demo/Demo.java': 'package demo;\npublic class Demo {}\n',
  'pom.xml': pomOf({ artifact: 'demo', version: '1.0.0', dependencies }),
});

let folder: TemporaryFolder;
let central: MavenUpstream;
let inner: MavenUpstream;
let larder: LarderProcess;
const closing: (() => Promise<void>)[] = [];

/** Has Maven itself build the library in all its versions and deploy them into a folder. */
async function deployLibrary(repository: string, target: string): Promise<void> {
  const files: Record<string, string> = {
    'pom.xml': pomOf({ artifact: 'all', version: '1', modules: libraryVersions }),
  };
  for (const version of libraryVersions) {
    files[`${version}/pom.xml`] = pomOf({ artifact: 'lib', version });
    files[`${version}/src/main/java/lib/Lib.java`] =
      `package lib;\npublic class Lib { public static String version() { return "${version}"; } }\n`;
  }
  const project = await mavenProject(folder.path, repository, files);
  const ran = await project.run(
    'deploy',
    '-Dmaven.test.skip',
    '-Dmaven.install.skip',
    `-DaltDeploymentRepository=here::file://${target}`,
  );
  expect(ran, ran.output).toMatchObject({ code: 0 });
}

/** What a source settles when everything it keeps is out of date. */
const outOfDate = { ttl: '0s', staleWhileRevalidate: '0s', negativeTtl: '0s' };

/** A Larder of its own, so that nothing is in it yet, unless it is one that ran before. */
async function freshLarder(
  source: Readonly<Record<string, unknown>> = { ttl: '1h' },
  folderOf?: LarderProcess,
  timeoutMs = 30_000,
): Promise<LarderProcess> {
  const impatient = { format: 'maven', retries: 0, breaker: { failures: 1000 }, timeoutMs };
  const started = await spawnLarder({
    upstreamUrl: central.url,
    upstreams: { central: { url: central.url, ...impatient }, portal: { url: inner.url, ...impatient } },
    repositories: {
      maven: {
        format: 'maven',
        sources: [
          { remote: 'central', ...source },
          { remote: 'portal', ...source },
        ],
      },
    },
    folder: folderOf?.folder ?? (await mkdtemp(join(folder.path, 'larder-'))),
  });
  closing.push(() => started.close());
  return started;
}

const repositoryOf = ({ url }: LarderProcess): string => `${url}/public/maven`;

function forgetRequests(): void {
  central.upstream.forget();
  inner.upstream.forget();
}

const requests = (): string[] => [...central.log(), ...inner.log()];

/** What an upstream has under this path, whichever it is. */
function original(path: string): Buffer {
  try {
    return inner.bytes(path);
  } catch {
    return central.bytes(path);
  }
}

/** Everything in a local repository of Maven's is what an upstream has; gives back the paths. */
async function expectOriginals({ fetched }: JavaProject): Promise<string[]> {
  const paths = (await filesIn(fetched)).filter((path) => ['jar', 'pom'].includes(kindOf(path)));
  for (const path of paths) expect((await readFile(join(fetched, path))).equals(original(path)), path).toBe(true);
  return paths;
}

beforeAll(async () => {
  if (noMaven) return;
  folder = await temporaryFolder('larder-maven');
  closing.push(() => folder.remove());
  central = await startMavenUpstream({ folders: [debianRepository], prefix: '/maven2' });
  closing.push(() => central.upstream.close());
  const deployed = join(folder.path, 'deployed');
  await deployLibrary(central.url, deployed);
  inner = await startMavenUpstream({ folders: [deployed], prefix: '/m2' });
  closing.push(() => inner.upstream.close());
  larder = await freshLarder();
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** Ends it and starts it again with all that it keeps out of date and nobody to ask. */
async function withoutUpstreams(before: LarderProcess, body: (larder: LarderProcess) => Promise<void>): Promise<void> {
  await before.stop();
  await Promise.all([central.upstream.stop(), inner.upstream.stop()]);
  const alone = await freshLarder(outOfDate, before);
  try {
    await body(alone);
  } finally {
    await alone.stop();
    await Promise.all([central.upstream.start(), inner.upstream.start()]);
  }
}

describe('maven', () => {
  test.skipIf(noMaven)(
    noMaven ?? 'builds cold with strict checksums, then warm, then with the upstreams stopped, always from nothing',
    async () => {
      const fresh = await freshLarder();
      async function build(from = fresh): Promise<string[]> {
        const project = await mavenProject(folder.path, repositoryOf(from), mavenProgram);
        const ran = await project.run('-C', 'package');
        expect(ran, ran.output).toMatchObject({ code: 0 });
        expect(ran.output).toContain('Tests run: 1, Failures: 0');
        expect(ran.output).not.toMatch(/checksum/i);
        return await expectOriginals(project);
      }
      const cold = await build();
      expect(cold).toContain('/com/acme/lib/1.1.0/lib-1.1.0.jar');
      expect(cold.length).toBeGreaterThan(100);

      forgetRequests();
      expect(await build()).toEqual(cold);
      expect(requests()).toEqual([]);

      await withoutUpstreams(fresh, async (alone) => {
        expect(await build(alone)).toEqual(cold);
      });
    },
  );

  test.skipIf(noMaven)(noMaven ?? 'two first builds at the same time fetch each file once', async () => {
    const fresh = await freshLarder();
    forgetRequests();
    const projects = await Promise.all(
      ['one', 'two'].map(() => mavenProject(folder.path, repositoryOf(fresh), mavenProgram)),
    );
    const ran = await Promise.all(projects.map((project) => project.run('package')));
    for (const one of ran) expect(one, one.output).toMatchObject({ code: 0 });
    const [first, second] = await Promise.all(projects.map(expectOriginals));
    expect(second).toEqual(first);
    for (const log of [central.log(), inner.log()]) {
      const fetches = log.filter((request) => request.startsWith('GET '));
      expect(fetches.length).toBeGreaterThan(2);
      expect(fetches.filter((request, index) => fetches.indexOf(request) !== index)).toEqual([]);
    }
  });

  test.skipIf(noMaven)(noMaven ?? 'finds a plugin by its prefix', async () => {
    const project = await mavenProject(folder.path, repositoryOf(larder), {});
    const ran = await project.run('surefire-report:help');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(ran.output).toContain('maven-surefire-report-plugin:2.22.3:help');
  });

  test.skipIf(noMaven)(noMaven ?? 'sees a new snapshot as soon as upstream has it', async () => {
    const fresh = await freshLarder(outOfDate);
    const stamped = { group: 'com.acme', artifact: 'moving', version: '1.0-SNAPSHOT' };
    const literal = { group: 'com.acme', artifact: 'literal', version: '1.0-SNAPSHOT', literal: true };
    let moving = inner.publish(stamped);
    let overwritten = inner.publish(literal);
    const dependencies = ['com.acme:moving:1.0-SNAPSHOT', 'com.acme:literal:1.0-SNAPSHOT'];
    // From nothing each time: a literal snapshot that it has Maven never fetches again (3.8.7).
    async function expectNewest(): Promise<void> {
      const project = await mavenProject(folder.path, repositoryOf(fresh), dependent(...dependencies));
      const ran = await project.run('compile');
      expect(ran, ran.output).toMatchObject({ code: 0 });
      const got = (path: string): Promise<Buffer> => readFile(join(project.fetched, path));
      expect((await got(moving.jar)).equals(inner.bytes(moving.jar))).toBe(true);
      expect((await got(overwritten.jar)).equals(inner.bytes(overwritten.jar))).toBe(true);
    }
    await expectNewest();
    moving = inner.publish(stamped);
    overwritten = inner.publish(literal);
    await expectNewest();

    // Nothing new: the metadata is asked for again, and the answer is that it has not changed.
    inner.upstream.forget();
    await expectNewest();
    const asked = inner.upstream.requests.filter(({ path }) =>
      path.endsWith('/moving/1.0-SNAPSHOT/maven-metadata.xml'),
    );
    expect(asked.length).toBeGreaterThan(0);
    for (const { headers } of asked) expect(headers['if-none-match']).toBeDefined();
    expect(inner.count(moving.jar)).toBe(0);
  });

  test.skipIf(noMaven)(
    noMaven ?? 'takes an upstream in trouble for a failed transfer, and remembers no absence',
    async () => {
      const published = inner.publish({ group: 'com.acme', artifact: 'later', version: '1.0.0' });
      const project = await mavenProject(folder.path, repositoryOf(larder), {
        'src/main/java/demo/Demo.java': 'package demo;\npublic class Demo {}\n',
        'pom.xml': pomOf({ artifact: 'demo', version: '1.0.0', dependencies: ['com.acme:later:1.0.0'] }),
      });
      inner.misbehave((path) => path.startsWith(published.folder), '503');
      try {
        const ran = await project.run('compile');
        expect(ran.code).not.toBe(0);
        expect(ran.output).toMatch(/Could not transfer artifact com\.acme:later:pom:1\.0\.0/);
        expect(ran.output).toMatch(/503/);
        expect(ran.output).not.toMatch(/was not found|Could not find artifact/);
      } finally {
        inner.heal();
      }
      // Not told to look again for what it believes to be absent (-U): it believes no such thing.
      const ran = await project.run('compile');
      expect(ran, ran.output).toMatchObject({ code: 0 });
      expect(await expectOriginals(project)).toContain(published.jar);
    },
  );
});

test.skipIf(noGradle)(
  noGradle ?? 'gradle builds cold, then warm, then with the upstreams stopped, always from nothing',
  async () => {
    const fresh = await freshLarder();
    async function build(from = fresh): Promise<string[]> {
      // `1.+` is resolved by the list of versions in the metadata.
      const dependencies = ["compile 'com.acme:lib:1.+'", "testCompile 'junit:junit:4.13.2'"];
      const project = await gradleProject(folder.path, repositoryOf(from), dependencies, program);
      const ran = await project.run('build');
      expect(ran, ran.output).toMatchObject({ code: 0 });
      const jars = (await filesIn(project.fetched)).filter((path) => path.endsWith('.jar'));
      for (const path of jars) {
        const [, group = '', artifact, version, , file] = path.split('/');
        const there = `/${group.replaceAll('.', '/')}/${artifact}/${version}/${file}`;
        expect((await readFile(join(project.fetched, path))).equals(original(there)), there).toBe(true);
      }
      return jars;
    }
    const cold = await build();
    expect(cold.map((path) => path.split('/').at(-1)).sort()).toEqual([
      'hamcrest-debian.jar',
      'junit-4.13.2.jar',
      'lib-1.1.0.jar',
    ]);

    forgetRequests();
    expect(await build()).toEqual(cold);
    expect(requests()).toEqual([]);

    await withoutUpstreams(fresh, async (alone) => {
      expect(await build(alone)).toEqual(cold);
    });
  },
);

test.skipIf(noIvy)(noIvy ?? 'ivy resolves cold, then warm, then with the upstreams stopped', async () => {
  const fresh = await freshLarder();
  async function resolve(from = fresh): Promise<void> {
    const project = await ivyProject(folder.path, repositoryOf(from), ['com.acme:lib:1.0.0', 'junit:junit:4.13.2']);
    const ran = await project.run();
    expect(ran, ran.output).toMatchObject({ code: 0 });
    // With nobody to ask it is told of sources and the like that it is not known whether there are any, and does without.
    expect(ran.output).not.toMatch(/invalid sha1|unresolved/i);
    const jar = await project.read('lib/lib-1.0.0.jar');
    expect(jar.equals(original('/com/acme/lib/1.0.0/lib-1.0.0.jar'))).toBe(true);
    const junit = await project.read('lib/junit-4.13.2.jar');
    expect(junit.equals(original('/junit/junit/4.13.2/junit-4.13.2.jar'))).toBe(true);
  }
  await resolve();
  forgetRequests();
  await resolve();
  expect(requests()).toEqual([]);
  await withoutUpstreams(fresh, resolve);
});

describe('an upstream in every kind of trouble', () => {
  const faults: readonly Fault[] = ['401', '403', '429', '500', 'stall', 'sign-in page', 'wrong digest', 'cut'];
  const empty: Texts = { 'src/main/java/demo/Demo.java': 'package demo;\npublic class Demo {}\n' };

  /** A library for each fault; gives back paths of jars by name, and what ends the trouble. */
  function publishFaulty(group: string): { readonly jars: ReadonlyMap<string, string>; heal(): void } {
    const jars = new Map<string, string>();
    for (const fault of faults) {
      const artifact = `with-${fault.replace(' ', '-')}`;
      const { jar } = inner.publish({ group, artifact, version: '1.0.0' });
      inner.misbehave((path) => path === jar, fault);
      jars.set(`${group}:${artifact}:1.0.0`, jar);
    }
    return { jars, heal: () => inner.heal() };
  }

  test.skipIf(noMaven)(noMaven ?? 'is no absence and no bad file for maven, and over when it is over', async () => {
    const impatient = await freshLarder(undefined, undefined, 1000);
    const { jars, heal } = publishFaulty('com.acme.mvn');
    const project = await mavenProject(folder.path, repositoryOf(impatient), dependent(...jars.keys()));
    try {
      const ran = await project.run('compile');
      expect(ran.code).not.toBe(0);
      expect(ran.output).toMatch(/Could not transfer artifact/);
      expect(ran.output).not.toMatch(/Could not find artifact|was not found/);
      for (const name of jars.keys()) expect(ran.output).toContain(name.replace(/:([^:]*)$/, ':jar:$1'));
      // Without -C Maven itself would only warn of the one with the wrong digest.
      expect((await filesIn(project.fetched)).filter((path) => [...jars.values()].includes(path))).toEqual([]);
    } finally {
      heal();
    }
    const ran = await project.run('compile');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(await expectOriginals(project)).toEqual(expect.arrayContaining([...jars.values()]));
  });

  test.skipIf(noGradle)(noGradle ?? 'is no absence and no bad file for gradle, and over when it is over', async () => {
    const impatient = await freshLarder(undefined, undefined, 1000);
    const { jars, heal } = publishFaulty('com.acme.gradle');
    const needed = [...jars.keys()].map((name) => `compile '${name}'`);
    const project = await gradleProject(folder.path, repositoryOf(impatient), needed, empty);
    const fetched = async (): Promise<string[]> =>
      (await filesIn(project.fetched)).filter((path) => path.endsWith('.jar'));
    try {
      const ran = await project.run('classes');
      expect(ran.code).not.toBe(0);
      expect(ran.output).toMatch(/Could not (?:download|get resource)/);
      expect(ran.output).not.toMatch(/Could not find/);
      expect(await fetched()).toEqual([]);
    } finally {
      heal();
    }
    const ran = await project.run('classes');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect((await fetched()).length).toBe(jars.size);
  });
});

describe('with the settings that `larder setup` writes', () => {
  async function setUp(client: string, { home }: JavaProject): Promise<void> {
    const { code, err } = await command(['setup', client, '--write', '--url', repositoryOf(larder)], { HOME: home });
    expect({ code, err }).toEqual({ code: 0, err: '' });
  }

  test.skipIf(noMaven)(noMaven ?? 'maven asks nobody but Larder, whatever the project names', async () => {
    const project = await mavenProject(folder.path, undefined, dependent('com.acme:lib:1.0.0'));
    await setUp('maven', project);
    const ran = await project.run('compile');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(ran.output).toContain(`from larder: ${repositoryOf(larder)}/com/acme/lib/1.0.0/lib-1.0.0.jar`);
    expect(await expectOriginals(project)).toContain('/com/acme/lib/1.0.0/lib-1.0.0.jar');
  });

  test.skipIf(noGradle)(noGradle ?? 'gradle asks nobody but Larder, whatever the project names', async () => {
    const project = await gradleProject(folder.path, undefined, ["compile 'com.acme:lib:1.1.0'"], {
      'src/main/java/demo/Demo.java': program['src/main/java/demo/Demo.java'] ?? '',
    });
    await setUp('gradle', project);
    const ran = await project.run('classes');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect((await filesIn(project.fetched)).some((path) => path.endsWith('/lib-1.1.0.jar'))).toBe(true);
  });
});
