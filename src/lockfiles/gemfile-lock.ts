/** `Gemfile.lock` and `gems.locked` of Bundler: sections by indentation, `CHECKSUMS` since Bundler 2.5 when asked for. */
import type { Digest } from '../core/digest.ts';
import { linesOf, textOf } from './contents.ts';
import { digestIn, strongest } from './digests.ts';
import { webAddress } from './findings.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';

/** `1.16.0-x86_64-linux`: versions of gems have no hyphen, so the first one is where the platform begins. */
const gem = /^([A-Za-z0-9._-]+) \(([0-9][0-9A-Za-z.]*)(?:-([^()\s]+))?\)$/;

function fullName(name: string, version: string, platform: string | undefined): string {
  return platform === undefined ? `${name}-${version}` : `${name}-${version}-${platform}`;
}

interface Spec {
  readonly section: string;
  readonly remote: string | undefined;
  readonly name: string;
  readonly version: string;
  readonly platform: string | undefined;
  readonly line: number;
}

const elsewhere: Readonly<Record<string, string>> = {
  GIT: 'it comes from a git repository',
  PATH: 'it is a folder of the project',
  'PLUGIN SOURCE': 'it comes from a source that a plugin of Bundler reads',
};

export const gemfileLock: Kind = {
  id: 'gemfile-lock',
  names: ['Gemfile.lock', 'gems.locked'],
  isNamed: (contents) => named('Gemfile.lock', 'gems.locked')(contents) || /\.gemfile\.lock$/i.test(contents.name),
  looksLike: (contents) => /^GEM\r?\n {2}(?:remote|specs):/m.test(textOf(contents)),
  read: (contents, findings) => {
    const specs: Spec[] = [];
    const digests = new Map<string, readonly Digest[]>();
    let section = '';
    let remotes: string[] = [];
    let known = false;
    for (const { number, text } of linesOf(contents)) {
      const line = text.trimEnd();
      if (line === '') continue;
      if (!line.startsWith(' ')) {
        if (!/^[A-Z][A-Z ]*$/.test(line))
          throw new LockfileError(`line ${number} is no part of a lockfile of Bundler; run \`bundle lock\``);
        section = line;
        remotes = [];
        known ||= line === 'DEPENDENCIES' || line === 'GEM';
        continue;
      }
      const remote = /^ {2}remote: (\S+)$/.exec(line)?.[1];
      if (remote !== undefined) remotes.push(remote);
      const [, indent = '', rest = ''] = /^( +)(.*)$/.exec(line) ?? [];
      if (section === 'CHECKSUMS') {
        const [, spec = '', sums = ''] = /^(.+?\))(?: (.*))?$/.exec(rest) ?? [];
        const [, name = '', version = '', platform] = gem.exec(spec) ?? [];
        const found = sums.split(',').map((sum) => digestIn(...(sum.split('=', 2) as [string, string])));
        digests.set(fullName(name, version, platform), strongest(found));
      } else if (section === 'BUNDLED WITH') {
        findings.want({
          format: 'rubygems',
          name: 'bundler',
          version: rest,
          file: `bundler-${rest}.gem`,
          optional: true,
          at: `line ${number}`,
        });
      } else if (indent.length === 4 && (section === 'GEM' || Object.hasOwn(elsewhere, section))) {
        const [, name, version, platform] = gem.exec(rest) ?? [];
        if (name === undefined || version === undefined) {
          throw new LockfileError(`line ${number} names no gem with its version; run \`bundle lock\``);
        }
        // With several remotes in one section, as Bundler 1 wrote them, nobody knows which one has it.
        specs.push({
          section,
          remote: remotes.length === 1 ? remotes[0] : undefined,
          name,
          version,
          platform,
          line: number,
        });
      }
    }
    if (!known) throw new LockfileError('it has no section GEM and no DEPENDENCIES; run `bundle lock`');
    let undigested = 0;
    for (const { section, remote, name, version, platform, line } of specs) {
      const at = `line ${line}`;
      const why = elsewhere[section];
      if (why !== undefined) {
        findings.skip(`${name} ${version}`, why, at);
        continue;
      }
      const full = fullName(name, version, platform);
      const registry = webAddress(remote);
      const url = registry === undefined ? undefined : `${registry.replace(/\/*$/, '')}/gems/${full}.gem`;
      const sums = digests.get(full) ?? [];
      if (sums.length === 0) undigested++;
      findings.want({
        format: 'rubygems',
        name,
        version,
        platform,
        file: `${full}.gem`,
        url,
        registry,
        digests: sums,
        at,
      });
    }
    if (undigested > 0) {
      findings.note(
        `${undigested} of its gems have no checksum, and are checked against the index alone; \`bundle lock --add-checksums\` (Bundler 2.6) adds them.`,
      );
    }
  },
};
