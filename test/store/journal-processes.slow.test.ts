import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { verify } from '../../src/store/verify.ts';
import { publisher } from './hosted.ts';
import { collected, folder, opened } from './opened.ts';

const processes = 20;
const versions = 50;
/** Each of these processes dies in the middle of its work. */
const killed = 6;

interface Said {
  readonly word: string;
  readonly name: string;
  readonly version: string;
  readonly text: string;
}

/** Runs one to its end, or until it was acknowledged so many versions. */
async function runOne(path: string, id: number, packages: number, killAfter: number | undefined): Promise<Said[]> {
  const program = fileURLToPath(new URL('./publish-process.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [program, path, `${id}`, `${packages}`, `${versions}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const said: Said[] = [];
  let left = killAfter ?? Number.POSITIVE_INFINITY;
  if (!child.stdout) throw new Error('no output');
  for await (const line of createInterface(child.stdout)) {
    const [word = '', name = '', version = '', text = ''] = line.split(' ');
    said.push({ word, name, version, text });
    if (word === 'acknowledged') left -= 1;
    if (left === 0) child.kill('SIGKILL');
  }
  expect(await ended).toEqual(killAfter === undefined ? [0, null] : [null, 'SIGKILL']);
  return said;
}

const keyOf = ({ name, version }: { readonly name: string; readonly version: string }): string => `${name} ${version}`;

test.each([
  ['one package', 1],
  ['50 packages', 50],
])(
  `${processes} processes that publish ${versions} versions each of %s, some of them killed, lose nothing that was acknowledged`,
  async (_, packages) => {
    const path = await folder();
    const said = (
      await Promise.all(
        Array.from({ length: processes }, (_, id) =>
          // Not all at the same point of their work.
          runOne(path, id, packages, id < killed ? 5 + id * 7 : undefined),
        ),
      )
    ).flat();
    const of = (word: string) => said.filter((one) => one.word === word);
    const acknowledged = of('acknowledged');
    const refused = of('conflict');
    const begun = new Set(of('begun').map(({ text }) => text));
    expect(new Set(said.map(({ word }) => word))).toEqual(new Set(['begun', 'acknowledged', 'conflict']));
    // All of the living are done, and of each version that all wanted one was acknowledged; unless its publisher died before it was told.
    expect(acknowledged.length).toBeGreaterThanOrEqual((processes - killed) * versions);
    expect(refused.length).toBeGreaterThanOrEqual((processes - killed - 1) * (versions / 5));
    expect(new Set(acknowledged.map(keyOf)).size).toBe(acknowledged.length);

    const store = await opened({ path });
    const { hosting } = await publisher(store);
    const view = hosting.view();
    for (const one of acknowledged) {
      const [file] = view.record(one.name, one.version)?.files ?? [];
      const digest = digestOf(Buffer.from(one.text));
      expect(file?.digest, keyOf(one)).toBe(digest);
      expect((await store.blobs.bytes(digest))?.toString()).toBe(one.text);
    }
    const there = new Set<string>();
    for (const name of view.names()) {
      for (const { version, files } of view.records(name)) {
        expect(files, `${name} ${version}`).toHaveLength(1);
        there.add(files[0]?.digest ?? '');
      }
    }
    for (const one of refused) expect(there.has(digestOf(Buffer.from(one.text))), keyOf(one)).toBe(false);
    // What is there beyond what was acknowledged was begun by one that died.
    const digests = new Set([...begun].map((text) => digestOf(Buffer.from(text)) as string));
    expect(there.difference(digests)).toEqual(new Set());
    expect(there.size).toBeLessThanOrEqual(acknowledged.length + 2 * killed);
    expect(hosting.usage()).toMatchObject({ versions: there.size, packages });

    const history = await collected(hosting.history());
    expect(history.at(-1)).toMatchObject({ number: 1 });
    expect(history.length).toBe(there.size);
    expect(await verify({ path })).toMatchObject({ clean: true, hosted: { changes: there.size } });
  },
);
