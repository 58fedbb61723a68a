/** What Bundler asks for that finds a gem in its lockfile: the list of versions, the gem's page, and the gem. */
import { encodePath } from '../../core/path.ts';
import type { Wanted, WarmStep } from '../../core/warm.ts';
import { gemspecPath } from './gemspec.ts';
import { gemPath, isName } from './name.ts';

const pageBytes = 64 * 1024 * 1024;

/** `gem` reads the specification before it takes a gem; Bundler gets along without. */
function* filesOf(full: string, digests: WarmStep['digests'] = []): Iterable<WarmStep> {
  yield { path: encodePath(gemPath(full)), digests };
  yield { path: encodePath(gemspecPath(full)), optional: true, further: true };
}

/** The last line is of the version that was published last; one before its release (`2.0.rc1`) is nobody's choice while there is another. */
function* newestIn(name: string, platform: string | undefined, bytes: Uint8Array): Iterable<WarmStep> {
  const lines = Buffer.from(bytes).toString('utf8').trimEnd().split('\n');
  const versions = lines.slice(lines.indexOf('---') + 1).map((line) => line.slice(0, line.indexOf(' ')));
  const forPlatform = versions.filter((version) => {
    const [, built] = /^[^-]+-(.+)$/.exec(version) ?? [];
    return built === platform;
  });
  const version = forPlatform.findLast((one) => /^[\d.]+(?:-|$)/.test(one)) ?? forPlatform.at(-1);
  if (version === undefined)
    throw new Error(`${name} has no version${platform === undefined ? '' : ` for ${platform}`}`);
  yield* filesOf(`${name}-${version}`);
}

/** Throws an Error on what can be no gem. */
export function* warm({ name, version, platform: said, digests }: Wanted): Iterable<WarmStep> {
  if (!isName(name)) throw new Error(`${name} is no name of a gem`);
  const platform = said === 'ruby' ? undefined : said;
  yield { path: 'versions', headersOnly: true };
  const page = { path: `info/${encodePath(name)}` };
  if (version === undefined) {
    yield { ...page, read: { limit: pageBytes, next: (bytes) => newestIn(name, platform, bytes) } };
    return;
  }
  const full = `${name}-${version}${platform === undefined ? '' : `-${platform}`}`;
  if (!isName(full)) throw new Error(`${version} can be no version of ${name}`);
  yield { ...page, headersOnly: true };
  yield* filesOf(full, digests);
}
