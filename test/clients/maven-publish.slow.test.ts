/** A Maven plugin is built and deployed, and then run by its prefix on another machine: the metadata of its group is ours. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { debianRepository, startMavenUpstream } from '../support/maven-upstream.ts';
import { missingJava, pomOf, type Texts } from './maven-projects.ts';
import { type Ran, run } from './package-managers.ts';

const noMaven = missingJava('mvn', 'java', 'the plugins of Maven');

/** `hello` of the prefix `greet`. */
function pluginOf(version: string): Texts {
  const pom = pomOf({
    artifact: 'greet-maven-plugin',
    version,
    dependencies: ['org.apache.maven:maven-plugin-api:3.x'],
  })
    .replace('<groupId>com.acme<', '<groupId>com.acme.build<')
    .replace('<properties>', '<packaging>maven-plugin</packaging><properties>')
    .replace(
      '<plugins>',
      '<plugins><plugin><artifactId>maven-plugin-plugin</artifactId><version>3.7.1</version></plugin>',
    );
  const mojo = [
    'package greet;',
    'import org.apache.maven.plugin.AbstractMojo;',
    '/** @goal hello',
    ' *  @requiresProject false */',
    `public class Hello extends AbstractMojo { public void execute() { getLog().info("greetings from ${version}"); } }`,
    '',
  ].join('\n');
  return { 'pom.xml': pom, 'src/main/java/greet/Hello.java': mojo };
}

test.skipIf(noMaven)(noMaven ?? 'a plugin that was deployed is found by its prefix', async () => {
  const folder = await temporaryFolder('larder-maven-plugin');
  onTestFinished(() => folder.remove());
  const central = await startMavenUpstream({ folders: [debianRepository], prefix: '/maven2' });
  onTestFinished(() => central.upstream.close());
  const server = await startHosted({
    format: 'maven',
    upstreams: { central: { url: central.url, format: 'maven', retries: 0 } },
    sources: [{ hosted: true, claims: ['com.acme:*', 'com.acme.*'] }, { remote: 'central' }],
  });
  onTestFinished(() => server.close());

  async function mvn(token: string, files: Texts, ...args: readonly string[]): Promise<Ran> {
    const path = await mkdtemp(join(folder.path, 'machine-'));
    const settings = `<settings>
  <mirrors><mirror><id>larder</id><mirrorOf>*</mirrorOf><url>${server.url}/</url></mirror></mirrors>
  <servers><server><id>larder</id><username>token</username><password>${token}</password></server></servers>
  <pluginGroups><pluginGroup>com.acme.build</pluginGroup></pluginGroups>
</settings>
`;
    for (const [name, text] of Object.entries({ ...files, '.m2/settings.xml': settings })) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), text);
    }
    const env = { MAVEN_OPTS: `-Duser.home=${path} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC` };
    return run('mvn', ['-B', ...args], { folder: path, home: path, env });
  }

  // Who may publish in the group may say what its prefixes are.
  const alice = await server.token('alice', { may: ['read', 'publish'] });
  const deployed = await mvn(
    alice,
    pluginOf('1.0'),
    'deploy',
    '-Dmaven.install.skip',
    '-Dmaven.test.skip',
    `-DaltDeploymentRepository=larder::${server.url}`,
  );
  expect(deployed, deployed.output).toMatchObject({ code: 0 });
  // What Maven 3.9 and 4 send, and Maven 3.8 with a maven-deploy-plugin before 3.0 (MNG-7055).
  const sent = await ask(`${server.url}/com/acme/build/maven-metadata.xml`, {
    method: 'PUT',
    body: `<?xml version="1.0" encoding="UTF-8"?>
<metadata>
  <plugins>
    <plugin>
      <name>greet-maven-plugin</name>
      <prefix>greet</prefix>
      <artifactId>greet-maven-plugin</artifactId>
    </plugin>
  </plugins>
</metadata>
`,
    headers: { authorization: `Bearer ${alice}` },
  });
  expect(sent.status).toBe(201);

  const greeted = await mvn(await server.token('rita'), {}, 'greet:hello');
  expect(greeted, greeted.output).toMatchObject({ code: 0 });
  expect(greeted.output).toContain('greetings from 1.0');
  expect(central.log().filter((line) => /com[./]acme/.test(line))).toEqual([]);
});
