/** Projects for Maven, Gradle and Ivy: how each is told its repository, and where it puts what it was given. */
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { debianRepository } from '../support/maven-upstream.ts';
import { type Ran, run } from './package-managers.ts';

const programs = {
  mvn: '/usr/bin/mvn',
  gradle: '/usr/bin/gradle',
  ivy: '/usr/share/java/ivy.jar',
  java: '/usr/bin/java',
  'the plugins of Maven': `${debianRepository}/org/apache/maven/plugins/maven-surefire-plugin`,
  JUnit: `${debianRepository}/junit/junit`,
} as const;

/** Why a test with these can't run here; with `CI` set that is an error instead. */
export function missingJava(...wanted: readonly (keyof typeof programs)[]): string | undefined {
  for (const name of wanted) {
    try {
      accessSync(programs[name], constants.R_OK);
    } catch {
      const reason = `${name} is not installed: the packages that .ci/run lists have it`;
      if (process.env.CI === 'true') throw new Error(reason);
      return reason;
    }
  }
  return undefined;
}

// Programs this short gain nothing from the second compiler and from parallel collectors.
const quickJava = '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC';

/** The versions of Debian 12's packages. */
const plugins: Readonly<Record<string, string>> = {
  'maven-clean-plugin': '3.2.0',
  'maven-resources-plugin': '3.3.0',
  'maven-compiler-plugin': '3.10.1',
  'maven-surefire-plugin': '2.22.3',
  'maven-jar-plugin': '3.3.0',
  'maven-install-plugin': '3.1.0',
  'maven-deploy-plugin': '3.0.0',
};

export interface Pom {
  readonly artifact: string;
  readonly version: string;
  /** `group:artifact:version`, `…:type`, `…:type:scope` each. */
  readonly dependencies?: readonly string[];
  readonly modules?: readonly string[];
}

export function pomOf({ artifact, version, dependencies = [], modules = [] }: Pom): string {
  const element = (name: string, text: string | undefined): string =>
    text === undefined || text === '' ? '' : `<${name}>${text}</${name}>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.acme</groupId>
  <artifactId>${artifact}</artifactId>
  <version>${version}</version>
  ${modules.length > 0 ? '<packaging>pom</packaging>' : ''}
  <properties>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
  </properties>
  <modules>${modules.map((module) => element('module', module)).join('')}</modules>
  <repositories>
    <repository>
      <id>central</id>
      <url>https://nowhere.invalid/maven2</url>
      <snapshots><enabled>true</enabled><updatePolicy>always</updatePolicy></snapshots>
    </repository>
  </repositories>
  <dependencies>
${dependencies
  .map((dependency) => {
    const [group, name, wanted, type, scope] = dependency.split(':');
    return `    <dependency>${element('groupId', group)}${element('artifactId', name)}${element('version', wanted)}${element('type', type)}${element('scope', scope)}</dependency>`;
  })
  .join('\n')}
  </dependencies>
  <build>
    <plugins>
${Object.entries(plugins)
  .map(([name, wanted]) => `      <plugin><artifactId>${name}</artifactId><version>${wanted}</version></plugin>`)
  .join('\n')}
    </plugins>
  </build>
</project>
`;
}

const settingsOf = (repository: string, folder: string): string => `<settings>
  <localRepository>${folder}</localRepository>
  <mirrors><mirror><id>larder</id><mirrorOf>*</mirrorOf><url>${repository}/</url></mirror></mirrors>
</settings>
`;

export type Texts = Readonly<Record<string, string>>;

async function writeAll(folder: string, files: Texts): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

/** Paths below a folder, with a slash in front; none when there is no such folder. */
export async function filesIn(folder: string, path = ''): Promise<string[]> {
  const entries = await readdir(join(folder, path), { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries.map((entry) =>
      entry.isDirectory() ? filesIn(folder, `${path}/${entry.name}`) : [`${path}/${entry.name}`],
    ),
  );
  return found.flat().sort();
}

export interface JavaProject {
  readonly folder: string;
  /** Holds the client's own settings. */
  readonly home: string;
  /** Where the client keeps what it fetched; empty at first. */
  readonly fetched: string;
  run(...args: readonly string[]): Promise<Ran>;
  read(path: string): Promise<Buffer>;
}

interface Place {
  readonly folder: string;
  readonly home: string;
}

async function placeFor(parent: string, client: string, files: Texts): Promise<Place> {
  const path = await mkdtemp(join(parent, `${client}-`));
  const place = { folder: join(path, 'project'), home: join(path, 'home') };
  await mkdir(place.folder, { recursive: true });
  await mkdir(place.home);
  await writeAll(place.folder, files);
  return place;
}

/** With a local repository of its own, and nothing but `repository` to ask; without one it goes by the settings in its home. */
export async function mavenProject(parent: string, repository: string | undefined, files: Texts): Promise<JavaProject> {
  const { folder, home } = await placeFor(parent, 'mvn', files);
  const fetched = join(home, '.m2/repository');
  const settings = join(home, 'settings.xml');
  if (repository !== undefined) await writeFile(settings, settingsOf(repository, fetched));
  const told = repository === undefined ? [] : ['-s', settings];
  // HOME says nothing to Java.
  const env = { MAVEN_OPTS: `-Duser.home=${home} ${quickJava}` };
  return {
    folder,
    home,
    fetched,
    // Tests run in Maven's own process: a forked one takes ten seconds to be told that it is done (Surefire 2.22.3).
    run: (...args) => run('mvn', ['-B', '-DforkCount=0', ...told, ...args], { folder, home, env }),
    read: (path) => readFile(join(folder, path)),
  };
}

/** `dependencies` are lines of the block of that name. Without a repository it asks Maven Central, unless the settings in its home know better. */
export async function gradleProject(
  parent: string,
  repository: string | undefined,
  dependencies: readonly string[],
  files: Texts,
): Promise<JavaProject> {
  const build = [
    "apply plugin: 'java'",
    `repositories { ${repository === undefined ? 'mavenCentral()' : `maven { url '${repository}/' }`} }`,
    `dependencies {\n${dependencies.map((line) => `  ${line}`).join('\n')}\n}`,
    '',
  ].join('\n');
  const { folder, home } = await placeFor(parent, 'gradle', {
    ...files,
    'build.gradle': build,
    'settings.gradle': "rootProject.name = 'demo'\n",
  });
  // Gradle 4.4.1 looks at what Maven left in the home that Java knows.
  const env = { JAVA_TOOL_OPTIONS: `-Duser.home=${home} ${quickJava}` };
  return {
    folder,
    home,
    fetched: join(home, '.gradle/caches/modules-2/files-2.1'),
    run: (...args) => run('gradle', ['--no-daemon', ...args], { folder, home, env }),
    read: (path) => readFile(join(folder, path)),
  };
}

/** `dependencies` are `group:artifact:version`; what is retrieved lies in `lib`. */
export async function ivyProject(
  parent: string,
  repository: string,
  dependencies: readonly string[],
): Promise<JavaProject> {
  const needed = dependencies.map((dependency) => {
    const [group, name, version] = dependency.split(':');
    return `<dependency org="${group}" name="${name}" rev="${version}" conf="default->default"/>`;
  });
  const { folder, home } = await placeFor(parent, 'ivy', {
    'ivysettings.xml': `<ivysettings>
  <settings defaultResolver="larder"/>
  <resolvers><ibiblio name="larder" m2compatible="true" root="${repository}/"/></resolvers>
</ivysettings>
`,
    'ivy.xml': `<ivy-module version="2.0">
  <info organisation="com.acme" module="demo"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>${needed.join('')}</dependencies>
</ivy-module>
`,
  });
  const fetched = join(home, 'cache');
  const fixed = [...quickJava.split(' '), `-Duser.home=${home}`, '-jar', programs.ivy];
  const where = ['-settings', 'ivysettings.xml', '-cache', fetched, '-ivy', 'ivy.xml'];
  return {
    folder,
    home,
    fetched,
    run: (...args) =>
      run('java', [...fixed, ...where, '-retrieve', 'lib/[artifact]-[revision].[ext]', ...args], { folder, home }),
    read: (path) => readFile(join(folder, path)),
  };
}
