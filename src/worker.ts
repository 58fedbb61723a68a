/** A worker thread's whole program: big documents are decoded, projected and packed here, so that the event loop stays free. */
import { Tinypool } from 'tinypool';
import type { Format } from './core/format.ts';
import { loadFormat } from './formats/load.ts';
import { garbageCollection } from './garbage.ts';
import { createDecoded } from './pipeline/decoded.ts';
import { derive, type Job, learn, pack } from './pipeline/derive.ts';

const formats = new Map<string, Promise<Format>>();

/** One very big document, or some smaller ones. */
const keepMs = 5_000;
const decoded = createDecoded({ mostBytes: 48 * 1024 * 1024, keepMs });

function formatFor(job: { format: string; options: Readonly<Record<string, unknown>> }): Promise<Format> {
  const key = `${job.format}\n${JSON.stringify(job.options)}`;
  let format = formats.get(key);
  if (!format) {
    format = loadFormat(job.format).then((plain) => plain.configure?.(job.options) ?? plain);
    formats.set(key, format);
  }
  return format;
}

/** Bytes are handed over, not copied. Views into a shared pool can't be, so those (always small) are copied first. */
function handOver<T>(value: T, ...bytes: readonly (Uint8Array | undefined)[]): T {
  const buffers = new Set<ArrayBufferLike>();
  for (const view of bytes) if (view && view.byteLength === view.buffer.byteLength) buffers.add(view.buffer);
  return Tinypool.move({ [Tinypool.transferableSymbol]: [...buffers], [Tinypool.valueSymbol]: value } as never) as T;
}

/**
 * V8 waits until a heap has grown to a multiple of what is alive in it before it looks for what is not; and the bytes of documents, beside the
 * heap, until there are 64 MiB of them. In a thread that lives long and sees a document now and then, that is memory for nothing.
 */
const collectGarbage = garbageCollection();
const collectAfterBytes = 16 * 1024 * 1024;
/** Then nothing is kept decoded any more. */
const collectAfterMs = keepMs + 1_000;
let bytesSince = 0;
let nextPause: NodeJS.Timeout | undefined;
let isDue = false;

function collectSoon(bytes: number): void {
  bytesSince += bytes;
  clearTimeout(nextPause);
  if (bytesSince < collectAfterBytes) nextPause = setTimeout(collect, collectAfterMs).unref();
  else if (!isDue) {
    isDue = true;
    // The answer leaves first.
    setImmediate(collect);
  }
}

function collect(): void {
  bytesSince = 0;
  isDue = false;
  collectGarbage();
}

function bytesOf(job: Job): number {
  switch (job.kind) {
    case 'learn':
      return job.input.bytes.byteLength;
    case 'derive':
      return job.inputs.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    case 'pack':
      return job.bytes.byteLength;
  }
}

export async function work(job: Job): Promise<unknown> {
  const bytes = bytesOf(job);
  try {
    return await done(job);
  } finally {
    collectSoon(bytes);
  }
}

async function done(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'learn':
      return learn(await formatFor(job), job, decoded);
    case 'derive': {
      const made = derive(await formatFor(job), job, decoded);
      if (!made) return undefined;
      // The bytes may be the very ones of a decoded document that is kept: what is handed over is gone here.
      const bytes = new Uint8Array(made.bytes);
      return handOver({ ...made, bytes }, bytes, made.packed);
    }
    case 'pack': {
      const packed = pack(job.coding, job.bytes);
      return handOver(packed, packed);
    }
  }
}
