/** Bundler, NuGet and Gradle. */
import { describe, expect, it } from 'vitest';
import { otherSha256, read, readFixture, sha256, skippedIn, wantedIn } from './support.ts';

describe('Gemfile.lock', () => {
  it('of Bundler 2 says gems for every platform, and Bundler itself', () => {
    const found = readFixture('bundler-2/Gemfile.lock');
    expect(found.kind).toBe('gemfile-lock');
    expect(wantedIn(found)).toEqual([
      'bundler 2.3.7 bundler-2.3.7.gem optional',
      'nokogiri 1.16.2 java nokogiri-1.16.2-java.gem',
      'nokogiri 1.16.2 x86_64-linux nokogiri-1.16.2-x86_64-linux.gem',
      'racc 1.7.3 racc-1.7.3.gem',
      'rack 3.0.1 rack-3.0.1.gem',
      'tilt 2.1.0.rc1 tilt-2.1.0.rc1.gem',
    ]);
    expect(found.wanted[1]).toEqual({
      format: 'rubygems',
      name: 'nokogiri',
      version: '1.16.2',
      platform: 'java',
      file: 'nokogiri-1.16.2-java.gem',
      url: 'https://gems.example/gems/nokogiri-1.16.2-java.gem',
      registry: 'https://gems.example/',
      digests: [],
      from: 'Gemfile.lock: line 10',
    });
    expect(skippedIn(found)).toEqual({ 'plain 0.1': 'it is a folder of the project' });
    expect(found.notes.join()).toContain('5 of its gems have no checksum');
  });

  const text = (checksums: string): string => `GIT
  remote: https://git.example/x.git
  revision: abc
  specs:
    x (1.0)

GEM
  remote: https://gems.example/
  specs:
    a (1.0)
      b (>= 1)
    a (1.0-arm64-darwin)

GEM
  remote: https://other.example/private/
  specs:
    b (2.0)

PLATFORMS
  ruby

DEPENDENCIES
  a

${checksums}BUNDLED WITH
  2.6.2
`;

  it('may have checksums, each for its platform', () => {
    const found = read(
      'Gemfile.lock',
      text(
        `CHECKSUMS\n  a (1.0) sha256=${sha256}\n  a (1.0-arm64-darwin) sha256=${otherSha256}\n  b (2.0)\n  x (1.0)\n\n`,
      ),
    );
    expect(found.wanted.map(({ name, platform, digests }) => [name, platform, digests])).toEqual([
      ['bundler', undefined, []],
      ['a', undefined, [`sha256:${sha256}`]],
      ['a', 'arm64-darwin', [`sha256:${otherSha256}`]],
      ['b', undefined, []],
    ]);
    expect(found.wanted[3]?.url).toBe('https://other.example/private/gems/b-2.0.gem');
    expect(skippedIn(found)).toEqual({ 'x 1.0': 'it comes from a git repository' });
    expect(found.notes.join()).toContain('1 of its gems have no checksum');
  });

  it.each([
    ['prose', 'Dear reader,\n', 'line 1 is no part of a lockfile of Bundler'],
    ['a gem without a version', 'GEM\n  specs:\n    a\n', 'line 3 names no gem with its version'],
    ['no gems at all', 'PLATFORMS\n  ruby\n', 'no section GEM'],
  ])('is refused with %s', (_name, text, message) => {
    expect(() => read('Gemfile.lock', text)).toThrow(message);
  });
});

describe('NuGet', () => {
  it('has versions and no digests of files in packages.lock.json', () => {
    const found = read(
      'packages.lock.json',
      JSON.stringify({
        version: 1,
        dependencies: {
          'net8.0': {
            'Newtonsoft.Json': { type: 'Direct', requested: '[13.0.3, )', resolved: '13.0.3', contentHash: 'AAAA' },
            'acme.core': { type: 'Project' },
          },
          'net8.0/linux-x64': { 'Newtonsoft.Json': { type: 'Transitive', resolved: '13.0.3', contentHash: 'AAAA' } },
        },
      }),
    );
    expect(found.kind).toBe('nuget-lock');
    expect(found.wanted).toEqual([
      {
        format: 'nuget',
        name: 'Newtonsoft.Json',
        version: '13.0.3',
        digests: [],
        from: 'packages.lock.json: net8.0 > Newtonsoft.Json',
      },
    ]);
    expect(skippedIn(found)).toEqual({ 'acme.core': 'it is a project of the solution' });
    expect(found.notes.join()).toContain('before they were signed');
  });

  it('says the packs of the runtime as well in project.assets.json', () => {
    const found = read(
      'obj/project.assets.json',
      JSON.stringify({
        version: 3,
        targets: {},
        libraries: {
          'Newtonsoft.Json/13.0.3': { type: 'package', sha512: 'AAAA', path: 'newtonsoft.json/13.0.3' },
          'acme.core/1.0.0': { type: 'project' },
        },
        project: {
          frameworks: {
            'net8.0': {
              downloadDependencies: [{ name: 'Microsoft.NETCore.App.Ref', version: '[8.0.1, 8.0.1];[8.0.2]' }],
            },
          },
        },
      }),
    );
    expect(found.kind).toBe('nuget-assets');
    expect(wantedIn(found)).toEqual([
      'Newtonsoft.Json 13.0.3',
      'Microsoft.NETCore.App.Ref 8.0.1',
      'Microsoft.NETCore.App.Ref 8.0.2',
    ]);
    expect(found.wanted[0]?.digests).toEqual([]);
    expect(Object.keys(skippedIn(found))).toEqual(['acme.core/1.0.0']);
  });
});

describe('Gradle', () => {
  it('names modules in gradle.lockfile', () => {
    const text = `# This is a Gradle generated file for dependency locking.
# Manual edits can break the build and are not advised.
com.google.guava:guava:33.0.0-jre=compileClasspath,runtimeClasspath
org.example:lib:1.0=runtimeClasspath
empty=annotationProcessor
`;
    for (const name of ['gradle.lockfile', 'buildscript-gradle.lockfile', 'anything']) {
      const found = read(name, text);
      expect(found.kind).toBe('gradle-lockfile');
      expect(wantedIn(found)).toEqual(['com.google.guava:guava 33.0.0-jre', 'org.example:lib 1.0']);
      expect(found.wanted[1]?.from).toBe(`${name}: line 4`);
      expect(found.notes.join()).toContain('verification-metadata.xml');
    }
  });

  it('names files with their digests in verification-metadata.xml', () => {
    const found = read(
      'gradle/verification-metadata.xml',
      `<?xml version="1.0" encoding="UTF-8"?>
<verification-metadata xmlns="https://schema.gradle.example/dependency-verification">
   <configuration><verify-metadata>true</verify-metadata></configuration>
   <components>
      <component group="org.example" name="lib" version="1.0">
         <artifact name="lib-1.0.jar">
            <md5 value="${'ab'.repeat(16)}"/>
            <sha256 value="${sha256}" origin="Generated by Gradle"><also-trust value="${otherSha256}"/></sha256>
         </artifact>
         <artifact name="lib-1.0.pom"><pgp value="abc"/></artifact>
      </component>
   </components>
</verification-metadata>`,
    );
    expect(found.kind).toBe('gradle-verification');
    expect(found.wanted).toEqual([
      {
        format: 'maven',
        name: 'org.example:lib',
        version: '1.0',
        file: 'lib-1.0.jar',
        digests: [`sha256:${sha256}`, `sha256:${otherSha256}`],
        from: 'gradle/verification-metadata.xml: org.example:lib:1.0 > lib-1.0.jar',
      },
      expect.objectContaining({ file: 'lib-1.0.pom', digests: [] }),
    ]);
  });

  it('is refused with entities', () => {
    const text = '<!DOCTYPE a [<!ENTITY b "c">]><verification-metadata><components/></verification-metadata>';
    expect(() => read('verification-metadata.xml', text)).toThrow('document type');
  });

  it('is recorded instead, as Maven is', () => {
    expect(() => read('pom.xml', '<project/>')).toThrow('larder record');
    expect(() => read('x.xml', '<project xmlns="http://maven.apache.org/POM/4.0.0"/>')).toThrow('larder record');
    expect(() => read('build.gradle.kts', 'plugins {}')).toThrow('record the build');
  });
});
