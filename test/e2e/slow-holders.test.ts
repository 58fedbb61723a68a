/** Clients that do not take what was answered from memory. */
import net from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

it('Answers in memory that slow clients hold are bounded: others are answered from the file', async () => {
  const { upstream, larder } = await scene({
    server: { hotMemory: '1MB' },
    files: { options: { immutable: ['**'] } },
  });
  const files = Object.fromEntries(['a', 'b', 'c'].map((name, at) => [name, synthetic(500_000, at)]));
  for (const [name, body] of Object.entries(files)) upstream.at(`/${name}`, { body });
  const sums = Object.fromEntries(Object.entries(files).map(([name, body]) => [name, sha256Of(body)]));
  let begun = 0;
  onTestFinished(subscribe('request.start', () => begun++));
  const isHot = async (name: string): Promise<boolean> => {
    begun = 0;
    const { body } = await larder.files(`/${name}`);
    expect(sha256Of(body)).toBe(sums[name]);
    return begun === 0;
  };
  const holders: net.Socket[] = [];
  for (const name of ['a', 'b']) {
    await eventually(`${name} is in memory`, async () => ((await isHot(name)) ? true : undefined));
    const holder = net.connect(larder.port, '127.0.0.1');
    onTestFinished(() => void holder.destroy());
    holder.pause();
    // More than the system takes.
    holder.write(`GET /public/files/${name} HTTP/1.1\r\nHost: 127.0.0.1:${larder.port}\r\n\r\n`.repeat(24));
    holders.push(holder);
  }
  await eventually('both are held', async () => ((await isHot('b')) && !(await isHot('a')) ? true : undefined));
  await larder.files('/c');
  await untilStored(larder, '/c', 'files');
  for (let nth = 0; nth < 4; nth++) expect(await isHot('c')).toBe(false);
  for (const holder of holders) holder.destroy();
  await eventually('there is room again', async () => ((await isHot('c')) ? true : undefined));
});
