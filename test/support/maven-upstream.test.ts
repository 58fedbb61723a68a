/** The stand-in for a Maven repository tells the truth until it is told not to. */
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { hashOf } from './bytes.ts';
import { temporaryFolder } from './folder.ts';
import { type Answer, get } from './http.ts';
import { type Fault, type MavenUpstream, type MavenUpstreamOptions, startMavenUpstream } from './maven-upstream.ts';

const library = { group: 'com.acme', artifact: 'lib', version: '1.0.0' };

async function started(options: MavenUpstreamOptions = {}): Promise<MavenUpstream> {
  const maven = await startMavenUpstream(options);
  onTestFinished(() => maven.upstream.close());
  return maven;
}

it('has for every file and every metadata the checksums of what it serves', async () => {
  const maven = await started({ prefix: '/maven2', sidecars: ['md5', 'sha1', 'sha256', 'sha512'] });
  const { jar, pom, metadata } = maven.publish(library);
  for (const path of [jar, pom, metadata]) {
    const { body } = await get(`${maven.url}${path}`);
    for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512'])
      expect((await get(`${maven.url}${path}.${algorithm}`)).text()).toBe(hashOf(body, algorithm));
  }
  expect((await get(`${maven.url}${jar}.sha1.sha1`)).status).toBe(404);
});

it('names the newest build of a snapshot, which is there', async () => {
  const maven = await started();
  const snapshot = { ...library, version: '2.0-SNAPSHOT' };
  maven.publish(snapshot);
  const newest = maven.publish(snapshot);
  expect(newest.jar).toMatch(/lib-2\.0-\d{8}\.\d{6}-2\.jar$/);
  const metadata = (await get(`${maven.url}${newest.folder}/maven-metadata.xml`)).text();
  const value = /<extension>jar<\/extension><value>([^<]*)</.exec(metadata)?.[1];
  expect(newest.jar).toBe(`${newest.folder}/lib-${value}.jar`);
});

it('serves folders, through symbolic links as well, and lists what is in them', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const pom = join(folder.path, 'org/other/maven-tidy-plugin/1.0/maven-tidy-plugin-1.0.pom');
  await mkdir(dirname(pom), { recursive: true });
  await writeFile(join(folder.path, 'real'), '<project/>');
  await symlink(join(folder.path, 'real'), pom);
  const maven = await started({ folders: [folder.path] });
  expect((await get(`${maven.url}${pom.slice(folder.path.length)}`)).text()).toBe('<project/>');
  const ofArtifact = await get(`${maven.url}/org/other/maven-tidy-plugin/maven-metadata.xml`);
  expect(ofArtifact.text()).toContain('<release>1.0</release>');
  expect((await get(`${maven.url}/org/other/maven-metadata.xml`)).text()).toContain('<prefix>tidy</prefix>');
});

it.each<[Fault, (answer: Answer) => boolean]>([
  ['401', ({ status }) => status === 401],
  ['410', ({ status }) => status === 410],
  ['429', ({ status, headers }) => status === 429 && headers['retry-after'] === '1'],
  ['sign-in page', ({ status, headers }) => status === 200 && headers['content-type'] === 'text/html'],
  ['cut', ({ status, complete }) => status === 200 && !complete],
  ['wrong digest', ({ status, complete }) => status === 200 && complete],
])('misbehaves on one kind of file until it is healed: %s', async (fault, isIt) => {
  const maven = await started();
  const { jar, pom } = maven.publish(library);
  maven.misbehave('jar', fault);
  const answer = await get(`${maven.url}${jar}`);
  expect(isIt(answer)).toBe(true);
  expect(answer.body).not.toEqual(maven.bytes(jar));
  expect((await get(`${maven.url}${pom}`)).body).toEqual(maven.bytes(pom));
  maven.heal();
  expect((await get(`${maven.url}${jar}`)).body).toEqual(maven.bytes(jar));
  expect(maven.count(jar)).toBe(2);
});
