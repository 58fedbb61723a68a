/** Files that people will try, and what to give instead. */
import { type Contents, textOf } from './contents.ts';

interface Unread {
  isIt(contents: Contents): boolean;
  /** A sentence without its full stop, about the file. */
  readonly instead: string;
}

function name(pattern: RegExp): (contents: Contents) => boolean {
  return (contents) => pattern.test(contents.name);
}

function start(pattern: RegExp): (contents: Contents) => boolean {
  return (contents) => pattern.test(textOf(contents).slice(0, 5000));
}

const noRepository = 'there is no kind of repository here for its packages';

const unread: readonly Unread[] = [
  { isIt: name(/^package\.json$/i), instead: 'it says ranges, not versions; give the lockfile beside it' },
  { isIt: name(/^(?:Gemfile|gems\.rb|.*\.gemspec)$/), instead: 'it says ranges, not versions; give Gemfile.lock' },
  { isIt: name(/^Pipfile$/), instead: 'it says ranges, not versions; give Pipfile.lock' },
  {
    isIt: name(/^(?:pyproject\.toml|setup\.(?:py|cfg)|requirements\.in)$/i),
    instead:
      'it says ranges, not versions; give poetry.lock, uv.lock, pdm.lock, pylock.toml or a compiled requirements.txt',
  },
  {
    isIt: name(/^(?:build|settings)\.gradle(?:\.kts)?$|^libs\.versions\.toml$|\.sbt$/i),
    instead:
      'only its build tool knows what it needs; give gradle.lockfile and gradle/verification-metadata.xml, or record the build',
  },
  {
    isIt: name(/\.(?:cs|fs|vb)proj$|^packages\.config$|^Directory\.Packages\.props$/i),
    instead: 'it does not say all that is needed; give packages.lock.json or obj/project.assets.json',
  },
  {
    isIt: name(/^(?:Cargo\.lock|go\.sum|go\.mod|composer\.lock|mix\.lock|pubspec\.lock|Podfile\.lock|Chart\.lock)$/),
    instead: noRepository,
  },
  {
    isIt: start(/<bom[^>]*cyclonedx\.org/),
    instead: 'CycloneDX is read as JSON; convert it, or let its tool write JSON',
  },
  { isIt: start(/^SPDXVersion: /m), instead: 'SPDX is read as JSON; convert it, or let its tool write JSON' },
];

/** What to do with it, if it is one of these. */
export function whatInstead(contents: Contents): string | undefined {
  return unread.find((one) => one.isIt(contents))?.instead;
}
