/** How connections and the server itself end. */
import type http from 'node:http';
import type { ServerResponse } from 'node:http';
import type net from 'node:net';

/** Responses of a connection that are not out yet. */
const unanswered = new WeakMap<net.Socket, Set<ServerResponse>>();

/**
 * Node tells only the response whose turn it is that its connection broke. Those pipelined behind it would wait for ever,
 * and with them the files they have open.
 */
export function endWithConnection(socket: net.Socket, res: ServerResponse): void {
  let waiting = unanswered.get(socket);
  if (!waiting) {
    const all = new Set<ServerResponse>();
    waiting = all;
    unanswered.set(socket, all);
    socket.once('close', () => {
      for (const one of all) {
        if (one.socket) continue;
        one.destroy();
        one.emit('close');
      }
    });
  }
  const mine = waiting;
  mine.add(res);
  res.once('close', () => mine.delete(res));
}

/** Idle connections go at once; busy ones when their answer is out or the deadline is over. */
export async function closeGently(
  front: net.Server,
  plain: http.Server,
  open: () => Iterable<net.Socket>,
  running: Running,
  deadlineMs: number,
): Promise<void> {
  const closed = new Promise<void>((done) => front.close(() => done()));
  plain.close();
  const deadline = performance.now() + deadlineMs;
  plain.closeIdleConnections();
  while (running.count > 0 && performance.now() < deadline) {
    await Promise.race([running.changed(), new Promise((done) => setTimeout(done, 100).unref())]);
  }
  for (const socket of open()) {
    if (socket.writableLength === 0 || performance.now() >= deadline) socket.destroy();
    else socket.destroySoon();
  }
  await closed;
}

/** How many requests are between their first and their last byte. */
export class Running {
  count = 0;
  #waiting: (() => void)[] = [];

  changed(): Promise<void> {
    return new Promise((done) => this.#waiting.push(done));
  }

  add(change: 1 | -1): void {
    this.count += change;
    if (change === -1) for (const done of this.#waiting.splice(0)) done();
  }
}
