/**
 * Clients who want little and stay: so many connections that were asked one thing and are kept open, and so many readers of a large
 * file who take a little of it now and then. Argument: what to open, as JSON. Prints a line once each of them has its first bytes, and holds on until
 * its input ends.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Crowd {
  readonly idleUrl: string;
  readonly idle: number;
  readonly slowUrl: string;
  readonly slow: number;
  /** Of one slow reader. */
  readonly bytesPerSecond: number;
}

const crowd = JSON.parse(process.argv[2] ?? '') as Crowd;
/** What Node reads at a time. */
const readBytes = 65_536;
/** So that one reads at a time: twenty-five at once would measure how long this process takes for them. */
const turnMs = 4;

async function open(url: string): Promise<Socket> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  socket.on('close', () => {
    process.stderr.write('A connection of the crowd was closed.\n');
    process.exit(1);
  });
  await once(socket, 'connect');
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const [first] = (await once(socket, 'data')) as [Buffer];
  if (!first.toString('latin1', 0, 13).startsWith('HTTP/1.1 200'))
    throw new Error(`${url} answered ${first.toString('latin1', 0, 40)}`);
  return socket;
}

for (let n = 0; n < crowd.idle; n++) (await open(crowd.idleUrl)).resume();
const slow: Socket[] = [];
for (let n = 0; n < crowd.slow; n++) {
  const socket = await open(crowd.slowUrl);
  socket.pause();
  socket.on('data', () => socket.pause());
  slow.push(socket);
}
// Each in its turn, so that what they take together flows evenly.
const each = (slow.length * crowd.bytesPerSecond * turnMs) / readBytes / 1000;
let due = 0;
let next = 0;
setInterval(() => {
  for (due += each; due >= 1; due--) slow[next++ % slow.length]?.resume();
}, turnMs);
process.stdout.write('ready\n');
process.stdin.resume();
process.stdin.on('end', () => process.exit());
