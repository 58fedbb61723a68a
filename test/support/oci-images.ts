/**
 * Real container images, made here and kept: busybox in several shapes, and a layer of a gigabyte. Nothing is fetched.
 * Each image is a layout folder as the OCI image specification describes it (1.0.2, `image-layout.md`).
 */
import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib';
import { type Bytes, synthetic } from './bytes.ts';
import { tarArchive, tarHeader } from './tarball.ts';

const run = promisify(execFile);

/** The media types that images are made of. */
export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstdLayer: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly artifactType?: string;
}

/** One image name with all its tags. */
export interface Image {
  readonly name: string;
  /** The layout folder. */
  readonly folder: string;
  /** What each tag stands for. */
  readonly tags: Readonly<Record<string, Descriptor>>;
}

/** A manifest of any kind, as far as it names others. */
interface Manifest {
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly manifests?: readonly Descriptor[];
}

const top = fileURLToPath(new URL('../..', import.meta.url));

/** Where images are kept between runs; `OCI_IMAGES_DIR`, else below the folder of the clients. */
export function imagesFolder(): string {
  return process.env.OCI_IMAGES_DIR ?? join(process.env.CLIENTS_DIR ?? join(top, '.clients'), 'oci-images');
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The file of a layout that holds these bytes. */
export function blobFile(folder: string, digest: string): string {
  return join(folder, 'blobs', ...digest.split(':'));
}

/** Manifests first to last in the order in which a registry takes them, and the blobs they need. */
export async function contentOf(
  image: Pick<Image, 'folder'>,
  from: Descriptor,
): Promise<{ readonly manifests: readonly Descriptor[]; readonly blobs: readonly Descriptor[] }> {
  const manifest = JSON.parse(await readFile(blobFile(image.folder, from.digest), 'utf8')) as Manifest;
  const below = await Promise.all((manifest.manifests ?? []).map((child) => contentOf(image, child)));
  return {
    manifests: [...below.flatMap(({ manifests }) => manifests), from],
    blobs: [
      ...below.flatMap(({ blobs }) => blobs),
      ...(manifest.config ? [manifest.config] : []),
      ...(manifest.layers ?? []),
    ],
  };
}

/** A layout that is being written. */
interface Draft {
  readonly folder: string;
  add(mediaType: string, bytes: Buffer | object): Promise<Descriptor>;
  finish(tags: Readonly<Record<string, Descriptor>>): Promise<void>;
}

async function draft(folder: string): Promise<Draft> {
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  return {
    folder,
    async add(mediaType, content) {
      const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
      const digest = digestOf(bytes);
      await writeFile(blobFile(folder, digest), bytes);
      return { mediaType, digest, size: bytes.length };
    },
    async finish(tags) {
      const manifests = Object.entries(tags).map(([tag, descriptor]) => ({
        ...descriptor,
        annotations: { 'org.opencontainers.image.ref.name': tag },
      }));
      await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    },
  };
}

async function readImage(folder: string, name: string): Promise<Image> {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as { manifests: readonly Descriptor[] };
  const tags = index.manifests.map(({ annotations, ...descriptor }) => [
    annotations?.['org.opencontainers.image.ref.name'] ?? '',
    descriptor,
  ]);
  return { name, folder, tags: Object.fromEntries(tags) as Record<string, Descriptor> };
}

const epoch = '1970-01-01T00:00:00Z';

interface Layer {
  /** Not compressed. */
  readonly tar: Buffer;
  readonly coding: 'gzip' | 'zstd';
}

/** A second layer makes one image differ from the next; the first one they share. */
function layersWith(mark: string): readonly Layer[] {
  return [
    { tar: tarArchive({ 'bin/busybox': readFileSync('/bin/busybox') }, ['bin/busybox']), coding: 'gzip' },
    { tar: tarArchive({ 'etc/mark': `${mark}\n`.repeat(500) }), coding: 'gzip' },
  ];
}

function packed({ tar, coding }: Layer): Buffer {
  return coding === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar);
}

type Kind = 'oci' | 'docker';

async function addManifest(
  to: Draft,
  layers: readonly Layer[],
  architecture = 'amd64',
  kind: Kind = 'oci',
): Promise<Descriptor> {
  const types =
    kind === 'oci'
      ? { manifest: mediaTypes.manifest, config: mediaTypes.config, layer: mediaTypes.layer }
      : { manifest: mediaTypes.dockerManifest, config: mediaTypes.dockerConfig, layer: mediaTypes.dockerLayer };
  const config = await to.add(types.config, {
    created: epoch,
    architecture,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/busybox', 'sh'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) },
    history: layers.map(() => ({ created: epoch, created_by: 'test' })),
  });
  const descriptors: Descriptor[] = [];
  for (const layer of layers) {
    descriptors.push(await to.add(layer.coding === 'zstd' ? mediaTypes.zstdLayer : types.layer, packed(layer)));
  }
  return await to.add(types.manifest, { schemaVersion: 2, mediaType: types.manifest, config, layers: descriptors });
}

/** By umoci (0.4.7), as people make images without a daemon. */
async function makeTiny(folder: string): Promise<void> {
  const file = `${folder}.tar`;
  const umoci = (...args: string[]) => run('umoci', args);
  const [layer] = layersWith('');
  await writeFile(file, layer?.tar ?? '');
  const at = ['--image', `${folder}:1`];
  await umoci('init', '--layout', folder);
  await umoci('new', ...at);
  await umoci('raw', 'add-layer', ...at, '--history.created', epoch, file);
  await umoci('config', ...at, '--no-history', '--created', epoch, '--config.cmd', '/bin/busybox');
  await umoci('gc', '--layout', folder);
  await umoci('tag', ...at, 'latest');
  await rm(file);
}

async function makeMany(folder: string, kind: Kind): Promise<void> {
  const to = await draft(folder);
  const manifests: Descriptor[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    const manifest = await addManifest(to, layersWith(`${kind} ${architecture}`), architecture, kind);
    manifests.push({ ...manifest, platform: { architecture, os: 'linux' } });
  }
  const mediaType = kind === 'oci' ? mediaTypes.index : mediaTypes.dockerList;
  await to.finish({ 1: await to.add(mediaType, { schemaVersion: 2, mediaType, manifests }) });
}

async function makeZstd(folder: string): Promise<void> {
  const to = await draft(folder);
  const layers = layersWith('zstd').map((layer): Layer => ({ ...layer, coding: 'zstd' }));
  await to.finish({ 1: await addManifest(to, layers) });
}

/**
 * With a signature under a tag made of the digest, as cosign (2.x) does it: its specification is `SIGNATURE_SPEC.md`. The
 * public key lies beside the layout.
 */
async function makeSigned(folder: string, name: string): Promise<void> {
  const to = await draft(folder);
  const subject = await addManifest(to, layersWith('signed'));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': `docker.io/${name}` },
        image: { 'docker-manifest-digest': subject.digest },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
  const signed = await to.add('application/vnd.dev.cosign.simplesigning.v1+json', payload);
  const annotations = { 'dev.cosignproject.cosign/signature': sign('sha256', payload, privateKey).toString('base64') };
  const config = await to.add(mediaTypes.config, {
    architecture: '',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: [signed.digest] },
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config,
    layers: [{ ...signed, annotations }],
  };
  const signature = await to.add(mediaTypes.manifest, manifest);
  await writeFile(join(folder, 'cosign.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  await to.finish({ 1: subject, [`${subject.digest.replace(':', '-')}.sig`]: signature });
}

/** With two referrers, found through the tag that stands in for the referrers API (distribution specification 1.1). */
async function makeAttested(folder: string): Promise<void> {
  const to = await draft(folder);
  const subject = await addManifest(to, layersWith('attested'));
  const config = await to.add(mediaTypes.empty, {});
  const manifests: Descriptor[] = [];
  for (const [artifactType, content] of [
    ['application/spdx+json', '{"spdxVersion":"SPDX-2.3"}'],
    ['application/vnd.in-toto+json', '{"_type":"https://in-toto.io/Statement/v1"}'],
  ] as const) {
    const layer = await to.add(artifactType, Buffer.from(content));
    const annotations = { 'org.opencontainers.image.created': epoch };
    const manifest = await to.add(mediaTypes.manifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType,
      config,
      layers: [layer],
      subject,
      annotations,
    });
    manifests.push({ ...manifest, artifactType, annotations });
  }
  const index = await to.add(mediaTypes.index, { schemaVersion: 2, mediaType: mediaTypes.index, manifests });
  await to.finish({ 1: subject, [subject.digest.replace(':', '-')]: index });
}

/** As `helm push` (3.8 and later) stores a chart. */
async function makeChart(folder: string): Promise<void> {
  const to = await draft(folder);
  const chart = {
    apiVersion: 'v2',
    name: 'web',
    version: '1.2.3',
    description: 'A chart for tests',
    type: 'application',
  };
  const archive = tarArchive({
    'web/Chart.yaml': Object.entries(chart)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(''),
    'web/values.yaml': 'replicas: 1\n',
    'web/templates/map.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n',
  });
  const config = await to.add('application/vnd.cncf.helm.config.v1+json', chart);
  const layer = await to.add('application/vnd.cncf.helm.chart.content.v1.tar+gzip', gzipSync(archive));
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer] };
  await to.finish({ '1.2.3': await to.add(mediaTypes.manifest, manifest) });
}

const makers = {
  'library/tiny': makeTiny,
  'library/pair': (folder) => makeMany(folder, 'oci'),
  'acme/list': (folder) => makeMany(folder, 'docker'),
  'acme/zstd': makeZstd,
  'acme/signed': makeSigned,
  'acme/attested': makeAttested,
  'acme/web': makeChart,
} as const satisfies Record<string, (folder: string, name: string) => Promise<void>>;

export type ImageName = keyof typeof makers;
export type Images = Readonly<Record<ImageName, Image>>;

/** Makes the folder unless it is there; several processes may try at once. */
async function once(folder: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (existsSync(folder)) return;
  const unfinished = `${folder}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  await make(unfinished);
  await rename(unfinished, folder).catch(async (error: unknown) => {
    if (!existsSync(folder)) throw error;
    await rm(unfinished, { recursive: true, force: true });
  });
}

/** All of them but the big one. Needs umoci and busybox-static. */
export async function smallImages(): Promise<Images> {
  // Another way to make them, or another busybox, is another set.
  const recipe = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
  const folder = join(
    imagesFolder(),
    `small-${recipe.update(readFileSync('/bin/busybox')).digest('hex').slice(0, 12)}`,
  );
  await once(folder, async (unfinished) => {
    for (const [name, make] of Object.entries(makers)) {
      await mkdir(join(unfinished, dirname(name)), { recursive: true });
      await make(join(unfinished, name), name);
    }
  });
  const images = await Promise.all(Object.keys(makers).map((name) => readImage(join(folder, name), name)));
  return Object.fromEntries(images.map((image) => [image.name, image])) as unknown as Images;
}

/** One file of `size` bytes that do not compress, as an archive. */
function* bigArchive(content: Bytes): Generator<Buffer> {
  yield tarHeader('big', content.size);
  yield* content.read(0, content.size);
  yield Buffer.alloc(((512 - (content.size % 512)) % 512) + 1024);
}

/** Gzip that stores instead of compressing (RFC 1951, 3.2.4): what does not compress takes no time, and the bytes are the same everywhere. */
function* stored(pieces: Iterable<Buffer>): Generator<Buffer> {
  yield Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  let check = 0;
  let size = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += 0xffff) {
      const part = piece.subarray(at, at + 0xffff);
      const head = Buffer.alloc(5);
      head.writeUInt16LE(part.length, 1);
      head.writeUInt16LE(0xffff - part.length, 3);
      yield head;
      yield part;
    }
    check = crc32(piece, check);
    size += piece.length;
  }
  const tail = Buffer.from([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
  tail.writeUInt32LE(check >>> 0, 5);
  tail.writeUInt32LE(size % 2 ** 32, 9);
  yield tail;
}

/** `acme/big:1`, whose only layer has a little more than `size` bytes. Made when first asked for; takes seconds and as much room. */
export async function bigImage(size = 1_000_000_000): Promise<Image> {
  const name = 'acme/big';
  const folder = join(imagesFolder(), `big-${size}`);
  await once(folder, async (unfinished) => {
    const to = await draft(unfinished);
    const plain = createHash('sha256');
    const coded = createHash('sha256');
    let length = 0;
    const draftFile = join(unfinished, 'layer');
    const file = await open(draftFile, 'w');
    function* counted(): Generator<Buffer> {
      for (const piece of bigArchive(synthetic(size, 3))) {
        plain.update(piece);
        yield piece;
      }
    }
    let waiting: Buffer[] = [];
    let waitingBytes = 0;
    for (const piece of stored(counted())) {
      coded.update(piece);
      length += piece.length;
      waiting.push(piece);
      waitingBytes += piece.length;
      if (waitingBytes < 4 * 1024 * 1024) continue;
      await file.writev(waiting);
      waiting = [];
      waitingBytes = 0;
    }
    await file.writev(waiting);
    await file.close();
    const digest = `sha256:${coded.digest('hex')}`;
    await rename(draftFile, blobFile(unfinished, digest));
    const config = await to.add(mediaTypes.config, {
      created: epoch,
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [`sha256:${plain.digest('hex')}`] },
    });
    const layer = { mediaType: mediaTypes.layer, digest, size: length };
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [layer] };
    await to.finish({ 1: await to.add(mediaTypes.manifest, manifest) });
  });
  return await readImage(folder, name);
}
