/** A server of this release on what an earlier one left behind. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createLarder } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';
import { type Left, unpack } from './fixture.ts';
import { hash } from './outside.ts';

/** A port where nobody is: faster than names that do not exist. */
const nobody = 'http://127.0.0.1:9';
const hourMs = 3_600_000;

export interface Opened {
  readonly left: Left;
  readonly folder: string;
  readonly configFile: string;
}

/** The data folder of a fixture, and a configuration for it whose upstreams are gone. */
export async function opened(fixture: string): Promise<Opened> {
  const folder = await temporaryFolder('larder-upgrade');
  onTestFinished(() => folder.remove());
  const data = join(folder.path, 'data');
  const left = await unpack(await readFile(join(import.meta.dirname, fixture)), data);
  const upstreams = Object.entries(left.config.upstreams as Record<string, object>).map(([name, settings]) => [
    name,
    { ...settings, proxy: nobody },
  ]);
  const configFile = join(folder.path, 'larder.yaml');
  const config = {
    ...left.config,
    storage: { ...(left.config.storage as object), path: data },
    upstreams: Object.fromEntries(upstreams),
    log: { level: 'info', access: false },
  };
  await writeFile(configFile, JSON.stringify(config));
  return { left, folder: folder.path, configFile };
}

export type Ask = (who: string | undefined, path: string, options?: AskOptions) => Promise<Answer>;

export function askAt(url: string, { people }: Left): Ask {
  return (who, path, options = {}) => {
    const basic = who === undefined ? undefined : Buffer.from(`token:${people[who]}`).toString('base64');
    const headers = { ...(basic === undefined ? {} : { authorization: `Basic ${basic}` }), ...options.headers };
    return ask(`${url}${path}`, { ...options, headers });
  };
}

/** An hour after it was written, whenever that was. */
export async function serving<T>({ left, configFile }: Opened, work: (ask: Ask) => Promise<T>): Promise<T> {
  const startedAt = Date.now();
  const now = (): number => left.writtenAt + hourMs + (Date.now() - startedAt);
  const larder = await createLarder(await loadConfig(configFile, {}), { now });
  try {
    return await work(askAt((await larder.listen()).url, left));
  } finally {
    await larder.close();
  }
}

/** Whatever is not as it was, all at once. */
export async function differences({ reads }: Left, asking: Ask): Promise<string[]> {
  const looks = reads.map(async ({ who, path, accept, status, sha256, has = [] }) => {
    const answer = await asking(who, path, accept === undefined ? {} : { headers: { accept } });
    const text = answer.text();
    const isSame =
      answer.status === status &&
      (sha256 === undefined || hash(answer.body) === sha256) &&
      has.every((word) => text.includes(word));
    return isSame ? [] : [`${path} as ${who ?? 'nobody'}: ${answer.status} ${text.slice(0, 200)}`];
  });
  return (await Promise.all(looks)).flat();
}
