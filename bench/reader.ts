/**
 * Reads one URL over and over on a few connections, a quarter of a megabyte at a time into the same memory, and prints
 * the throughput. Every answer must be 200 with the expected length, else it fails.
 */
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Load, Measured } from './load.ts';

const load = JSON.parse(process.argv[2] ?? '') as Load;
const { hostname, port, pathname, host } = new URL(load.url);
const headers = Object.entries({ host, ...load.headers }).map(([name, value]) => `${name}: ${value}\r\n`);
const question = `GET ${pathname} HTTP/1.1\r\n${headers.join('')}\r\n`;

let bytes = 0;
let answers = 0;

function fail(reason: string): never {
  process.stderr.write(`${load.url}: ${reason}\n`);
  process.exit(1);
}

function open(): void {
  // `undefined`: the next bytes are the head of an answer.
  let left: number | undefined;
  const buffer = Buffer.allocUnsafe(262_144);
  const socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer,
      callback(length) {
        bytes += length;
        if (left === undefined) {
          const head = buffer.toString('latin1', 0, Math.min(length, 4096));
          const end = head.indexOf('\r\n\r\n');
          if (!head.startsWith('HTTP/1.1 200 ') || end === -1) fail(`answered ${head.slice(0, 60)}`);
          const announced = Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
          if (announced !== load.bodyBytes) fail(`sends ${announced} bytes instead of ${load.bodyBytes}`);
          left = announced + end + 4;
        }
        left -= length;
        if (left < 0) fail('sends more than it announced');
        if (left > 0) return true;
        answers++;
        left = undefined;
        socket.write(question);
        return true;
      },
    },
  });
  socket.on('connect', () => socket.write(question));
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('closed the connection'));
}

const startedAt = performance.now();
for (let n = 0; n < load.connections; n++) open();
setTimeout(() => {
  const seconds = (performance.now() - startedAt) / 1000;
  if (answers === 0 && bytes < load.bodyBytes) fail(`not one answer in ${load.seconds} s`);
  const measured: Measured = { requestsPerSecond: answers / seconds, megabytesPerSecond: bytes / 1e6 / seconds };
  process.stdout.write(JSON.stringify(measured), () => process.exit());
}, load.seconds * 1000);
