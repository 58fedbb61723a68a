/** Debian's docker-registry (distribution 2.8) over a folder of its own, and a way to put images into it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, link, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { temporaryFolder } from './folder.ts';
import { ask } from './http.ts';
import { blobFile, contentOf, type Descriptor, type Image } from './oci-images.ts';

export interface OciRegistry {
  /** No trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Puts everything that the image's tags stand for there; with `tags`, only these. */
  push(image: Image, tags?: readonly string[]): Promise<void>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

export interface OciRegistryOptions {
  /** It is then a cache in front of that registry, as its `proxy.remoteurl` says. */
  readonly cacheOf?: string;
}

const largeBytes = 64 * 1024 * 1024;

/** JSON is YAML. */
function configuration(storage: string, options: OciRegistryOptions): string {
  return JSON.stringify({
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: '127.0.0.1:0', relativeurls: true },
    ...(options.cacheOf === undefined ? {} : { proxy: { remoteurl: options.cacheOf } }),
  });
}

/** It says in its log where it listens. */
async function waitForPort(child: ChildProcess): Promise<number> {
  const found = Promise.withResolvers<number>();
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) throw new Error('The registry was started without pipes');
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) found.resolve(Number(port));
    });
  }
  child.once('error', found.reject);
  child.once('exit', (code) => found.reject(new Error(`docker-registry ended with ${code}:\n${lines.join('\n')}`)));
  return await found.promise;
}

/** Starts it; a test must `close` it. */
export async function startOciRegistry(options: OciRegistryOptions = {}): Promise<OciRegistry> {
  const folder = await temporaryFolder('larder-registry');
  const storage = join(folder.path, 'storage');
  const configFile = join(folder.path, 'config.yml');
  await writeFile(configFile, configuration(storage, options));
  const child = spawn('docker-registry', ['serve', configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: folder.path, OTEL_TRACES_EXPORTER: 'none' },
  });
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  const exited = once(child, 'exit').catch(() => undefined);

  async function close(): Promise<void> {
    process.off('exit', orphaned);
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await exited;
    }
    await folder.remove();
  }

  let port: number;
  try {
    port = await waitForPort(child);
  } catch (error) {
    await close();
    throw error;
  }
  const url = `http://127.0.0.1:${port}`;

  async function expectStatus(
    wanted: number,
    method: string,
    path: string,
    type?: string,
    body?: Buffer,
  ): Promise<string> {
    const headers = {
      'content-length': String(body?.length ?? 0),
      ...(type === undefined ? {} : { 'content-type': type }),
    };
    const answer = await ask(`${url}${path}`, { method, headers, ...(body ? { body } : {}) });
    if (answer.status !== wanted) throw new Error(`${method} ${path}: ${answer.status} ${answer.text()}`);
    return String(answer.headers.location ?? '');
  }

  /** Where the filesystem driver keeps a blob and the note that a repository has it. A link saves time and room. */
  async function placeBlob(image: Image, { digest }: Descriptor): Promise<void> {
    const [algorithm = '', hex = ''] = digest.split(':');
    const registry = join(storage, 'docker/registry/v2');
    const data = join(registry, 'blobs', algorithm, hex.slice(0, 2), hex, 'data');
    const note = join(registry, 'repositories', image.name, '_layers', algorithm, hex, 'link');
    await mkdir(dirname(data), { recursive: true });
    await mkdir(dirname(note), { recursive: true });
    const source = blobFile(image.folder, digest);
    await link(source, data).catch(() => copyFile(source, data));
    await writeFile(note, digest);
  }

  async function pushBlob(image: Image, blob: Descriptor): Promise<void> {
    if (blob.size > largeBytes) return await placeBlob(image, blob);
    const opened = await expectStatus(202, 'POST', `/v2/${image.name}/blobs/uploads/`);
    const query = `${opened.includes('?') ? '&' : '?'}digest=${encodeURIComponent(blob.digest)}`;
    const bytes = await readFile(blobFile(image.folder, blob.digest));
    await expectStatus(201, 'PUT', `${opened}${query}`, 'application/octet-stream', bytes);
  }

  return {
    url,
    port,
    async push(image, tags = Object.keys(image.tags)) {
      const pushed = new Set<string>();
      for (const tag of tags) {
        const root = image.tags[tag];
        if (!root) throw new Error(`${image.name} has no tag ${tag}`);
        const { manifests, blobs } = await contentOf(image, root);
        for (const blob of blobs) {
          if (pushed.has(blob.digest)) continue;
          pushed.add(blob.digest);
          await pushBlob(image, blob);
        }
        for (const { digest, mediaType } of manifests) {
          const bytes = await readFile(blobFile(image.folder, digest));
          await expectStatus(201, 'PUT', `/v2/${image.name}/manifests/${digest}`, mediaType, bytes);
        }
        const bytes = await readFile(blobFile(image.folder, root.digest));
        await expectStatus(201, 'PUT', `/v2/${image.name}/manifests/${tag}`, root.mediaType, bytes);
      }
    },
    close,
  };
}
