/** Patterns with `*`, spelled as a format spells names, and addresses of source projects. */
import type { Format } from '../core/format.ts';

const spelled = new WeakMap<Format, Map<string, string>>();

/** As the repository's intents spell it. */
export function spell(format: Format, pattern: string): string {
  if (!format.spell) return pattern;
  let known = spelled.get(format);
  if (!known) {
    known = new Map();
    spelled.set(format, known);
  }
  let found = known.get(pattern);
  if (found === undefined) {
    found = format.spell(pattern);
    // Those of rules and tokens; whoever makes up many gets them spelled each time.
    if (known.size < 10_000) known.set(pattern, found);
  }
  return found;
}

/** Whether some text matches both. At most as many steps as their lengths multiplied. */
export function overlap(one: string, other: string): boolean {
  // Which ends of `other` can be reached after so much of `one`: the usual way with two texts.
  const last = other.length;
  let reached = new Uint8Array(last + 1);
  const skip = (ends: Uint8Array): boolean => {
    for (let end = 0; end < last; end++) if (ends[end] && other[end] === '*') ends[end + 1] = 1;
    return ends.includes(1);
  };
  reached[0] = 1;
  skip(reached);
  for (const letter of one) {
    const next = new Uint8Array(last + 1);
    if (letter === '*') next.fill(1, reached.indexOf(1));
    else {
      for (let end = 0; end < last; end++) {
        if (!reached[end]) continue;
        if (other[end] === '*') next[end] = 1;
        else if (other[end] === letter) next[end + 1] = 1;
      }
    }
    reached = next;
    if (!skip(reached)) return false;
  }
  return reached[last] === 1;
}

const scp = /^(?:[\w.+-]+@)?([\w.-]+):(?!\/\/)(?!\d+\/)(.+)$/;
const shorthand: Readonly<Record<string, string>> = {
  github: 'github.com',
  gitlab: 'gitlab.com',
  bitbucket: 'bitbucket.org',
};

/**
 * Host and path of a source project, however it is written: `git+https://`, `git@host:path`, `scm:git:` of Maven, `.git` at the
 * end, npm's `github:owner/name`. `undefined`: it is no such address.
 */
export function sourceAddress(text: string): string | undefined {
  const plain = text
    .trim()
    .replace(/^scm:[a-z]+:/i, '')
    .replace(/^git\+/i, '');
  if (plain.length > 1000) return undefined;
  const [, site, below] = /^(github|gitlab|bitbucket):(.+)$/i.exec(plain) ?? [];
  if (site !== undefined && below !== undefined) return tidy(shorthand[site.toLowerCase()] ?? '', below);
  if (/^[a-z][a-z+.-]*:\/\//i.test(plain)) {
    if (!URL.canParse(plain)) return undefined;
    const url = new URL(plain);
    // The port of ssh says nothing about the project.
    const host = /^https?:$/.test(url.protocol) ? url.host : url.hostname;
    return tidy(host, url.pathname);
  }
  const [, host, path] = scp.exec(plain) ?? [];
  return host === undefined || path === undefined ? undefined : tidy(host, path);
}

function tidy(host: string, path: string): string | undefined {
  const below = path
    .replace(/[?#].*$/, '')
    .replace(/^\/+|\/+$/g, '')
    .replace(/\.git$/i, '');
  return host === '' || below === '' ? undefined : `${host.toLowerCase()}/${below}`;
}
