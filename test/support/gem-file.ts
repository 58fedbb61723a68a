/** Gems as RubyGems builds them, always the same bytes for the same contents. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tarArchive } from './tarball.ts';

export interface GemContents {
  readonly name: string;
  readonly version: string;
  readonly platform?: string;
  /** Name to requirements. */
  readonly needs?: Readonly<Record<string, readonly string[]>>;
  readonly developmentNeeds?: Readonly<Record<string, readonly string[]>>;
  /** Requirements. */
  readonly ruby?: readonly string[];
  readonly rubygems?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly summary?: string;
  /** Path to text. */
  readonly files?: Readonly<Record<string, string>>;
  /** In place of what would be there. */
  readonly specification?: string;
  /** Further entries of the archive; `undefined` takes one away. */
  readonly entries?: Readonly<Record<string, Uint8Array | undefined>>;
}

const versionYaml = (version: string, indent: string): string =>
  `!ruby/object:Gem::Version\n${indent}version: '${version}'`;

function requirementYaml(clauses: readonly string[], indent: string): string {
  const rows = clauses.map((clause) => {
    const [, operator = '', version = ''] = /^(\S+) (.+)$/.exec(clause) ?? [];
    return `${indent}- - "${operator}"\n${indent}  - ${versionYaml(version, `${indent}    `)}\n`;
  });
  return `!ruby/object:Gem::Requirement\n${indent}requirements:\n${rows.join('')}`;
}

function dependencyYaml(name: string, clauses: readonly string[], type: string): string {
  const needed = requirementYaml(clauses, '    ');
  return `- !ruby/object:Gem::Dependency
  name: ${name}
  requirement: ${needed}  type: :${type}
  prerelease: false
  version_requirements: ${needed}`;
}

/** The specification as `gem build` writes it. */
export function gemSpecification(gem: GemContents): string {
  const needs = [
    ...Object.entries(gem.needs ?? {}).map(([name, clauses]) => dependencyYaml(name, clauses, 'runtime')),
    ...Object.entries(gem.developmentNeeds ?? {}).map(([name, clauses]) =>
      dependencyYaml(name, clauses, 'development'),
    ),
  ];
  const metadata = Object.entries(gem.metadata ?? {}).map(([key, value]) => `  ${key}: ${value}\n`);
  return `--- !ruby/object:Gem::Specification
name: ${gem.name}
version: ${versionYaml(gem.version, '  ')}
platform: ${gem.platform ?? 'ruby'}
authors:
- Ada
- Grace
autorequire:
bindir: bin
cert_chain: []
date: 2026-01-02 00:00:00.000000000 Z
dependencies:${needs.length === 0 ? ' []\n' : `\n${needs.join('')}`}description: |
  What it
  is for.
email: ada@example.com
executables: []
files:
${Object.keys(gem.files ?? { 'lib/x.rb': '' })
  .map((path) => `- ${path}\n`)
  .join('')}homepage: https://example.com
licenses:
- MIT
metadata:${metadata.length === 0 ? ' {}\n' : `\n${metadata.join('')}`}post_install_message:
require_paths:
- lib
required_ruby_version: ${requirementYaml(gem.ruby ?? ['>= 0'], '  ')}required_rubygems_version: ${requirementYaml(gem.rubygems ?? ['>= 0'], '  ')}requirements: []
rubygems_version: 3.3.15
signing_key:
specification_version: 4
summary: ${JSON.stringify(gem.summary ?? `The gem ${gem.name}`)}
test_files: []
`;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export function gemFile(gem: GemContents): Buffer {
  const metadata = gzipSync(gem.specification ?? gemSpecification(gem));
  const data = gzipSync(tarArchive(gem.files ?? { 'lib/x.rb': '' }));
  const checksums = gzipSync(`---\nSHA256:\n  metadata.gz: ${sha256(metadata)}\n  data.tar.gz: ${sha256(data)}\n`);
  const entries: Record<string, Uint8Array | undefined> = {
    'metadata.gz': metadata,
    'data.tar.gz': data,
    'checksums.yaml.gz': checksums,
    ...gem.entries,
  };
  const kept = Object.entries(entries).flatMap(([name, bytes]) => (bytes ? [[name, Buffer.from(bytes)] as const] : []));
  return tarArchive(Object.fromEntries(kept));
}

/** What a client with attestations sends in place of the gem alone. */
export function gemForm(gem: Uint8Array, attestations: string): { readonly type: string; readonly body: Buffer } {
  const boundary = 'gem-form-boundary';
  const part = (name: string, more: string, type: string): string =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\nContent-Type: ${type}\r\n\r\n`;
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([
      Buffer.from(part('gem', '; filename="x.gem"', 'application/octet-stream')),
      gem,
      Buffer.from(`\r\n${part('attestations', '', 'application/json')}${attestations}\r\n--${boundary}--`),
    ]),
  };
}
