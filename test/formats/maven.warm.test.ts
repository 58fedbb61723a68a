import { describe, expect, it } from 'vitest';
import { format } from '../../src/formats/maven/index.ts';
import { next, pathsOf, stepsFor } from '../support/warm-steps.ts';

const module = { name: 'com.acme.deep:lib', version: '1.0' };
const folder = 'com/acme/deep/lib/1.0';

const project = (body: string): string => `<project xmlns="http://maven.apache.org/POM/4.0.0">${body}</project>`;

describe('what Maven’s and Gradle’s clients ask for', () => {
  it('of a file is that file, with its digests', () => {
    const digests = [`sha256:${'a'.repeat(64)}`] as const;
    expect(stepsFor(format, { ...module, file: 'lib-1.0-linux.jar', digests })).toEqual([
      { path: `${folder}/lib-1.0-linux.jar`, digests },
    ]);
  });

  it('of a module is the pom, then the jar, and Gradle’s list when there is one', () => {
    const steps = stepsFor(format, module);
    expect(pathsOf(steps)).toEqual([`${folder}/lib-1.0.pom`, `${folder}/lib-1.0.module`]);
    expect(next(steps, project(''))).toEqual([{ path: `${folder}/lib-1.0.jar` }]);
  });

  it.each([
    ['pom', []],
    ['war', ['lib-1.0.war']],
    ['aar', ['lib-1.0.aar']],
    ['bundle', ['lib-1.0.jar']],
    ['maven-plugin', ['lib-1.0.jar']],
  ])('of packaging %s is %j beside the pom', (packaging, names) => {
    const found = next(stepsFor(format, module), project(`<packaging>${packaging}</packaging>`));
    expect(pathsOf(found)).toEqual(names.map((name) => `${folder}/${name}`));
  });

  const property = (name: string): string => `\${${name}}`;

  it('of a pom are its parent and what it imports, as far as it says so itself', () => {
    const entry = (name: string, version: string, scope: string): string =>
      `<dependency><groupId>\${project.groupId}</groupId><artifactId>${name}</artifactId><version>${version}</version><type>pom</type><scope>${scope}</scope></dependency>`;
    const pom = project(
      `<parent><groupId>org.up</groupId><artifactId>up</artifactId><version>7</version></parent>
       <properties><inner>3</inner><outer>\${inner}.1</outer><loop>\${loop}</loop></properties>
       <dependencyManagement><dependencies>${entry('one', property('outer'), 'import')}${entry('two', property('project.parent.version'), 'import')}
       ${entry('three', property('elsewhere'), 'import')}${entry('four', property('loop'), 'import')}${entry('five', '1', 'compile')}
       ${entry('../six', '1', 'import')}</dependencies></dependencyManagement>`,
    );
    const found = next(stepsFor(format, { ...module, file: 'lib-1.0.pom' }), pom);
    expect(pathsOf(found)).toEqual(['org/up/up/7/up-7.pom', 'org/up/one/3.1/one-3.1.pom', 'org/up/two/7/two-7.pom']);
    expect(() => next(stepsFor(format, { ...module, file: 'lib-1.0.pom' }), '<html/>')).toThrow('it is no pom');
  });

  it('of Gradle’s list are the files of every variant but the documentation', () => {
    const [, list] = stepsFor(format, module);
    const variants = [
      { attributes: { 'org.gradle.category': 'library' }, files: [{ url: 'lib-1.0.jar' }, { url: '../../up.jar' }] },
      { attributes: {}, files: [{ url: 'lib-1.0-android.aar' }] },
      { attributes: { 'org.gradle.category': 'documentation' }, files: [{ url: 'lib-1.0-javadoc.jar' }] },
      {},
    ];
    const found = [...(list?.read?.next(Buffer.from(JSON.stringify({ variants }))) ?? [])];
    expect(pathsOf(found)).toEqual([`${folder}/lib-1.0.jar`, `${folder}/lib-1.0-android.aar`]);
  });

  it.each([
    [{ name: 'lib', version: '1' }, 'lib is no group:artifact'],
    [{ name: 'a:b:c', version: '1' }, 'a:b:c is no group:artifact'],
    [{ name: 'a:b' }, 'a:b has no version'],
    [{ name: 'a:b', version: '1-SNAPSHOT' }, 'record one that uses it'],
  ])('of %j is nothing', (want, message) => {
    expect(() => stepsFor(format, want)).toThrow(message);
  });
});
