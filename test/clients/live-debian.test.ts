/** Plain files from a real mirror: the one that this machine's apt uses. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { sha256Of } from '../support/bytes.ts';
import { type Larder, startLarder } from '../support/larder.ts';
import { untilStored } from '../support/scene.ts';

interface Package {
  /** Base URL of the archive it lies in. */
  readonly archive: string;
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** A small package that every Debian has, as apt would fetch it. */
function findPackage(): Package | undefined {
  try {
    const told = execFileSync('apt-get', ['download', '--print-uris', 'base-files'], { encoding: 'utf8' });
    const [, archive, path, size, sha256] = /^'([^']+)(\/pool\/[^']+)' \S+ (\d+) SHA256:(\w+)/m.exec(told) ?? [];
    return archive && path && sha256 ? { archive, path, size: Number(size), sha256 } : undefined;
  } catch {
    return undefined;
  }
}

function codename(): string {
  return /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
}

const wanted = findPackage();
if (!wanted && process.env.CI === 'true') throw new Error('apt does not tell where a package is: run apt-get update');

let larder: Larder | undefined;
afterAll(() => larder?.close());

test.skipIf(!wanted)('an index and a package come through as they are, with ranges, and stay', async () => {
  if (!wanted) return;
  larder = await startLarder({
    upstreamUrl: wanted.archive,
    files: { options: { immutable: ['pool/**'] } },
  });
  const index = await larder.files(`/dists/${codename()}/InRelease`);
  expect(index.status).toBe(200);
  expect(index.text()).toContain('-----BEGIN PGP SIGNED MESSAGE-----');

  const part = await larder.files(wanted.path, { range: 'bytes=0-7' });
  expect(part.status).toBe(206);
  expect(part.text()).toBe('!<arch>\n');
  const file = await larder.files(wanted.path);
  expect([file.status, file.body.length, sha256Of(file.body)]).toEqual([200, wanted.size, wanted.sha256]);
  await untilStored(larder, wanted.path, 'files');
  const end = await larder.files(wanted.path, { range: 'bytes=-100' });
  expect(end.status).toBe(206);
  expect(end.body.equals(file.body.subarray(-100))).toBe(true);
  const same = await larder.files(wanted.path, { 'if-none-match': String(end.headers.etag) });
  expect(same.status).toBe(304);
});
