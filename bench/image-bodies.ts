/** The container images of the bench: ten small ones, one of a gigabyte, and layers that are new for every name. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { filler } from './bodies.ts';

/** Names of the small images, each with the tag `1`. All are equally long, so that answers are. */
export const smallImages: readonly string[] = Array.from({ length: 10 }, (_, n) => `library/small-${n}`);

/** With the tag `1`. */
export const bigImage = 'bench/big';

/** What each kind of image is asked for with, as Docker (24) and skopeo (1.9) list it. */
export const acceptedManifests = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
].join(', ');

/** A name under which a layer is found that nobody has asked for. The rate is in bytes per millisecond; 0: as fast as it goes. */
export function coldImage(sizeBytes: number, latencyMs: number, bytesPerMs: number, id: string): string {
  return `cold/${latencyMs}/${bytesPerMs}/${sizeBytes}/${id}`;
}

export interface ImageReply {
  readonly type: string;
  readonly digest: string;
  readonly size: number;
  /** Anew at each call: a gigabyte is never held. */
  readonly pieces: () => Iterable<Buffer>;
  readonly latencyMs: number;
  readonly bytesPerMs: number;
}

type Content = Pick<ImageReply, 'digest' | 'size' | 'pieces'>;

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const mebibyte = 2 ** 20;

/** What a registry says to a path below `/v2/`; `undefined` where it has nothing. */
export function imageReplies(): (path: string) => ImageReply | undefined {
  /** By the name of the image. */
  const manifests = new Map<string, Content>();
  /** By digest. */
  const blobs = new Map<string, Content>();

  function add(content: Content): Content {
    blobs.set(content.digest, content);
    return content;
  }

  function manifestOf(name: string): Content | undefined {
    const known = manifests.get(name);
    if (known) return known;
    const sizes = layerSizes(name);
    if (!sizes) return undefined;
    const layers = sizes.map((size, n) => add(layer(`${name} ${n}`, size)));
    // Nothing of the bench unpacks layers, so what they are when unpacked is left out.
    const rootfs = { type: 'layers', diff_ids: [] };
    const config = add(whole({ architecture: 'amd64', os: 'linux', config: { Labels: { name } }, rootfs }));
    const document = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: described('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((each) => described('application/vnd.oci.image.layer.v1.tar+gzip', each)),
    };
    const made = whole(document);
    manifests.set(name, made);
    return made;
  }

  return (path) => {
    const manifest = /^(.+)\/manifests\/([^/]+)$/.exec(path);
    if (manifest) {
      const [, name = '', reference] = manifest;
      const found = manifestOf(name);
      if (!found || (reference !== '1' && reference !== found.digest)) return undefined;
      return { ...found, type: manifestType, latencyMs: 0, bytesPerMs: 0 };
    }
    const blob = /^(.+)\/blobs\/([^/]+)$/.exec(path);
    const found = blob && blobs.get(blob[2] ?? '');
    if (!found) return undefined;
    const [, latency = '0', rate = '0'] = /^cold\/(\d+)\/(\d+)\//.exec(path) ?? [];
    const type = 'application/octet-stream';
    return { ...found, type, latencyMs: Number(latency), bytesPerMs: Number(rate) };
  };
}

/** `undefined`: there is no image of that name. */
function layerSizes(name: string): readonly number[] | undefined {
  if (smallImages.includes(name)) return [mebibyte, mebibyte, mebibyte];
  if (name === bigImage) return [1e9];
  const [, size] = /^cold\/\d+\/\d+\/(\d+)\/[^/]+$/.exec(name) ?? [];
  return size === undefined ? undefined : [Number(size)];
}

function described(mediaType: string, { digest, size }: Content): object {
  return { mediaType, digest, size };
}

function whole(document: object): Content {
  const bytes = Buffer.from(JSON.stringify(document));
  return { ...measured(() => [bytes]), pieces: () => [bytes] };
}

function measured(pieces: Content['pieces']): Pick<Content, 'digest' | 'size'> {
  const hash = createHash('sha256');
  let size = 0;
  for (const piece of pieces()) {
    hash.update(piece);
    size += piece.length;
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

/** Gzip that stores: parts of such a file may follow one another (RFC 1952, 2.2), so one part can stand for most of it. */
const stored = { level: 0 } as const;
const repeated = gzipSync(filler(mebibyte, 'layer'), stored);

/** An archive with one file that begins with the name, a little longer than `sizeBytes` in whole mebibytes. */
function layer(name: string, sizeBytes: number): Content {
  const times = Math.ceil(sizeBytes / mebibyte);
  const first = Buffer.concat([tarHeader('content', (times + 1) * mebibyte), Buffer.alloc(mebibyte, `${name}\n`)]);
  const start = gzipSync(first, stored);
  const end = gzipSync(Buffer.alloc(1024), stored);
  function* pieces(): Generator<Buffer> {
    yield start;
    for (let n = 0; n < times; n++) yield repeated;
    yield end;
  }
  return { ...measured(pieces), pieces };
}

/** Of a plain file (POSIX.1-1988, ustar). */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(`0000644\0${'0000000\0'.repeat(2)}`, 100);
  header.write(`${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0${' '.repeat(8)}0`, 124);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
