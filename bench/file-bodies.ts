/** Files of the formats that say beforehand what digest they have, and the documents that say so. */
import { createHash } from 'node:crypto';
import { strToU8, zipSync } from 'fflate';
import { filler, sizes, type TypedBody } from './bodies.ts';

const octets = 'application/octet-stream';
const simpleJson = 'application/vnd.pypi.simple.v1+json';

const wheel = filler(sizes['300k'], 'wheel');
const sdist = filler(sizes['20k'], 'sdist');
const gem = filler(sizes['20k'], 'gem');
const bundle = filler(sizes['300k'], 'bundle');

const hexOf = (hash: 'sha256', bytes: Buffer): string => createHash(hash).update(bytes).digest('hex');

/** Of 20 KB. */
function nupkg(): Buffer {
  const nuspec = `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>Bench.Small</id><version>1.0.0</version><authors>Bench</authors><description>Small.</description></metadata></package>`;
  const content = filler(sizes['20k'] - 1000, 'nupkg');
  return Buffer.from(zipSync({ 'bench.small.nuspec': strToU8(nuspec), 'lib/net8.0/bench.dll': content }, { level: 0 }));
}

export const pythonFiles = { wheel: 'bench_files-1.0-py3-none-any.whl', sdist: 'bench_files-1.0.tar.gz' } as const;

function pythonPage(origin: string): Buffer {
  const files = (
    [
      [pythonFiles.wheel, wheel],
      [pythonFiles.sdist, sdist],
    ] as const
  ).map(([filename, bytes]) => ({
    filename,
    hashes: { sha256: hexOf('sha256', bytes) },
    size: bytes.length,
    url: `${origin}/pypi/packages/aa/bb/${filename}`,
    'upload-time': '2026-01-01T00:00:00.000000Z',
    yanked: false,
  }));
  return Buffer.from(JSON.stringify({ files, meta: { 'api-version': '1.1' }, name: 'bench-files', versions: ['1.0'] }));
}

/** Bodies below `/pypi`, `/rubygems`, `/nuget` and `/p2` of an upstream. */
export function fileReply(origin: string, path: string): TypedBody | undefined {
  switch (path) {
    case '/pypi/simple/bench-files/':
      return { type: simpleJson, parts: [pythonPage(origin)] };
    case `/pypi/packages/aa/bb/${pythonFiles.wheel}`:
      return { type: octets, parts: [wheel] };
    case `/pypi/packages/aa/bb/${pythonFiles.sdist}`:
      return { type: octets, parts: [sdist] };
    case '/rubygems/info/bench-files':
      return {
        type: 'text/plain; charset=utf-8',
        parts: [Buffer.from(`---\n1.0.0 |checksum:${hexOf('sha256', gem)}\n`)],
      };
    case '/rubygems/gems/bench-files-1.0.0.gem':
      return { type: octets, parts: [gem] };
    case '/nuget/v3/flat/bench.small/index.json':
      return { type: 'application/json', parts: [Buffer.from('{"versions":["1.0.0"]}')] };
    case '/nuget/v3/flat/bench.small/1.0.0/bench.small.1.0.0.nupkg':
      return { type: octets, parts: [nupkg()] };
    case '/p2/plugins/org.example.bench_1.0.0.jar':
      return { type: 'application/java-archive', parts: [bundle] };
    default:
      return undefined;
  }
}
