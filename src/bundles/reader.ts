/**
 * Reads a bundle from front to back and tells what comes, in order. What was told is not to be trusted before `read` has
 * resolved: only then are manifest and signature known to be right.
 */
import { createHash } from 'node:crypto';
import { createZstdDecompress } from 'node:zlib';
import { type Bytes, bytesFrom } from './bytes.ts';
import { BundleError, type BundleHeader, blobPrefix, names, parsed, parseHeader } from './format.ts';
import { checkSignature, notTrusted, type PublicKey } from './keys.ts';
import { badPart, type Parts, readParts } from './parts.ts';
import { bytesOf, nextMember, type TarMember } from './tar.ts';
import { manifestLine } from './writer.ts';

export interface BundleVisitor {
  header(header: BundleHeader): Promise<void>;
  /** All bytes have to be taken. */
  records(bytes: AsyncIterable<Buffer>, size: number): Promise<void>;
  /** All bytes have to be taken; then `isRight` tells whether they have the digest. */
  blob(hex: string, size: number, bytes: AsyncIterable<Buffer>, isRight: () => boolean): Promise<void>;
}

export interface ReadOptions {
  readonly trusted: readonly PublicKey[];
  /** No signature is needed, and none is looked at. */
  readonly unsigned: boolean;
  /** Of the files, so many bytes more were read. */
  readonly onBytes?: (bytes: number) => void;
}

export interface ReadBundle {
  readonly header: BundleHeader;
  /** Blobs whose bytes are not what their names say; whoever wrote the bundle knew. */
  readonly withdrawn: ReadonlySet<string>;
  /** Absent: it was not asked for. */
  readonly signedBy?: PublicKey;
}

const smallBytes = 64 * 1024 * 1024;
const headerBytes = 1024 * 1024;
const signatureBytes = 4096;

/** Rejects with a `BundleError` on anything that is not as it was written. */
export async function readBundle(parts: Parts, visitor: BundleVisitor, options: ReadOptions): Promise<ReadBundle> {
  const bytes = bytesFrom(unpacked(parts, options.onBytes));
  try {
    return await readMembers(bytes, visitor, options);
  } catch (error) {
    // With several parts it is worth knowing which one to bring again.
    const isDamage = error instanceof BundleError && (error.trouble === 'damaged' || error.trouble === 'cut');
    throw (isDamage && (await badPart(parts))) || error;
  } finally {
    await bytes.close();
  }
}

/** Only header and records, without knowing whether they are right: for looking at one's own bundles. */
export async function readFront(parts: Parts, visitor: Omit<BundleVisitor, 'blob'>): Promise<BundleHeader> {
  const bytes = bytesFrom(unpacked(parts));
  try {
    const header = parseHeader(await small(await member(bytes, names.header), bytes, headerBytes));
    await visitor.header(header);
    const records = await member(bytes, names.records);
    await visitor.records(bytesOf(records, bytes), records.size);
    return header;
  } finally {
    await bytes.close();
  }
}

async function* unpacked(parts: Parts, onBytes?: (bytes: number) => void): AsyncGenerator<Buffer> {
  const zstd = createZstdDecompress({ chunkSize: 1024 * 1024 });
  // What happens after its end, or once nobody reads any more, is nobody's trouble.
  zstd.on('error', () => {});
  // A write that is under way when it ends is never called back.
  let release = (): void => {};
  zstd.once('close', () => release());
  const fed = feed();
  async function feed(): Promise<void> {
    try {
      let taken: Promise<void> = Promise.resolve();
      for await (const chunk of readParts(parts, onBytes)) {
        await taken;
        if (zstd.destroyed) return;
        taken = new Promise((resolve) => {
          release = resolve;
          zstd.write(chunk, () => resolve());
        });
      }
      await taken;
      zstd.end();
    } catch (error) {
      zstd.destroy(error as Error);
    }
  }
  try {
    for await (const chunk of zstd) yield chunk as Buffer;
    // What follows the end of the compressed data is passed over by zlib.
    if (zstd.bytesWritten < parts.totalBytes)
      throw new BundleError('damaged', 'something follows the end of the bundle');
  } catch (error) {
    throw unpackError(error);
  } finally {
    zstd.destroy();
    await fed;
  }
}

function unpackError(error: unknown): unknown {
  const code = (error as { code?: string }).code ?? '';
  if (code === 'Z_BUF_ERROR' || /unexpected end/i.test(String(error))) {
    return new BundleError('cut', 'the bundle ends too early: the rest of it is missing', { cause: error });
  }
  if (!code.startsWith('ZSTD')) return error;
  return new BundleError('damaged', `the bundle is damaged, or none: it can't be unpacked (${code})`, { cause: error });
}

async function readMembers(bytes: Bytes, visitor: BundleVisitor, options: ReadOptions): Promise<ReadBundle> {
  const expected = createHash('sha256');
  const wrong = new Set<string>();
  const withdrawn = new Set<string>();
  let fixed = '';
  const note = (name: string, hex: string): void => {
    expected.update(manifestLine(hex, name));
    fixed += manifestLine(hex, name);
  };

  const first = await member(bytes, names.header);
  const headerText = await small(first, bytes, headerBytes);
  const header = parseHeader(headerText);
  note(names.header, sha256(headerText));
  refuseKey(header, options);
  await visitor.header(header);

  const records = await member(bytes, names.records);
  const recordsHash = createHash('sha256');
  await visitor.records(hashed(bytesOf(records, bytes), recordsHash), records.size);
  note(names.records, recordsHash.digest('hex'));

  let next = await required(bytes);
  for (; next.name.startsWith(blobPrefix); next = await required(bytes)) {
    const hex = next.name.slice(blobPrefix.length);
    if (!/^[0-9a-f]{64}$/.test(hex)) throw unexpected(next);
    const hash = createHash('sha256');
    let digest: string | undefined;
    const found = (): string => {
      digest ??= hash.digest('hex');
      return digest;
    };
    await visitor.blob(hex, next.size, hashed(bytesOf(next, bytes), hash), () => found() === hex);
    expected.update(manifestLine(found(), next.name));
    if (found() !== hex) wrong.add(hex);
  }
  if (next.name === names.withdrawn) {
    const text = await small(next, bytes, smallBytes);
    const listed: unknown = parsed(text.toString());
    if (!Array.isArray(listed)) throw unexpected(next);
    for (const hex of listed) withdrawn.add(String(hex));
    note(names.withdrawn, sha256(text));
    next = await required(bytes);
  }
  for (const hex of wrong) {
    if (withdrawn.has(hex)) continue;
    throw new BundleError('damaged', `the bundle is damaged: blob ${hex} has other bytes than its digest says`);
  }
  if (next.name !== names.manifest) throw unexpected(next);
  const manifest = await small(next, bytes, Number.MAX_SAFE_INTEGER);
  if (sha256(manifest) !== expected.digest('hex')) throw manifestTrouble(manifest, fixed);

  const last = await nextMember(bytes);
  const signature = last && (await small(last, bytes, signatureBytes));
  if (last && last.name !== names.signature) throw unexpected(last);
  const signedBy = options.unsigned ? undefined : signer(signature, manifest, options.trusted);
  if (last && (await nextMember(bytes)))
    throw new BundleError('damaged', 'the bundle is damaged: something follows its signature');
  if (!(await bytes.ended())) throw new BundleError('damaged', 'the bundle is damaged: something follows its end');
  return { header, withdrawn, ...(signedBy ? { signedBy } : {}) };
}

/** Long before the signature comes it is known that it can't be a good one. */
function refuseKey({ key }: BundleHeader, { trusted, unsigned }: ReadOptions): void {
  if (unsigned) return;
  if (key === undefined) throw notSigned();
  if (!trusted.some(({ id }) => id === key)) throw new BundleError('signature', notTrusted(key, trusted));
}

function signer(signature: Buffer | undefined, manifest: Buffer, trusted: readonly PublicKey[]): PublicKey {
  if (!signature) throw notSigned();
  return checkSignature(signature.toString(), manifest, trusted);
}

function notSigned(): BundleError {
  return new BundleError(
    'signature',
    'the bundle is not signed; if you know where it comes from, import it with --unsigned',
  );
}

function manifestTrouble(manifest: Buffer, fixed: string): BundleError {
  const listed = new Set(manifest.toString().split('\n'));
  const line = fixed.split('\n').find((one) => one !== '' && !listed.has(one));
  const what = line === undefined ? 'blobs are missing or were added' : `${line.slice(66)} has other bytes`;
  return new BundleError('damaged', `the bundle is damaged: ${what}, which its manifest tells`);
}

async function required(bytes: Bytes): Promise<TarMember> {
  const found = await nextMember(bytes);
  if (!found) throw new BundleError('cut', `the bundle is damaged: it has no ${names.manifest}`);
  return found;
}

async function member(bytes: Bytes, name: string): Promise<TarMember> {
  const found = await nextMember(bytes);
  if (found?.name === name) return found;
  if (name === names.header) throw new BundleError('unknown', 'this is no bundle of Larder');
  throw new BundleError('damaged', `the bundle is damaged: there is no ${name} where it should be`);
}

async function small(member: TarMember, bytes: Bytes, limit: number): Promise<Buffer> {
  if (member.size > limit) throw new BundleError('damaged', `the bundle is damaged: ${member.name} is too long`);
  const pieces: Buffer[] = [];
  for await (const piece of bytesOf(member, bytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* hashed(pieces: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

function unexpected({ name }: TarMember): BundleError {
  return new BundleError('damaged', `the bundle is damaged: ${name} does not belong where it is`);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
