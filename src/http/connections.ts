/** Who is connected, and who has to go when too many are. */
import type { Socket } from 'node:net';
import { publish } from '../core/events.ts';
import type { Gate } from './limits.ts';
import { addressKey } from './limits-address.ts';

export interface ConnectionLimits {
  /** Connections at the same time. */
  readonly connections: number;
  /** Of one address. */
  readonly connectionsPerAddress: number;
}

export interface Connection {
  readonly address: string;
  /** The one that requests come over; with TLS the encrypted one, once there is one. */
  socket: Socket;
  /** Milliseconds of the process's clock: connected, or began its last request. */
  lastAt: number;
  /** Requests that are being answered. */
  running: number;
  /** What its last request for something in memory was measured by. */
  gate: Gate | undefined;
}

/** How many idle ones are looked out for at once: looking through all of them for each newcomer would be what an attacker wants. */
const lookedOut = 64;

const connectionOf = Symbol('connection');
type Known = Socket & { [connectionOf]?: Connection };

export class Connections {
  readonly #all = new Set<Connection>();
  readonly #byAddress = new Map<string, Set<Connection>>();
  /** The oldest idle ones when it was last looked, oldest last. */
  readonly #candidates = new WeakMap<Set<Connection>, { readonly connection: Connection; readonly lastAt: number }[]>();
  readonly #isProxy: (address: string) => boolean;
  limits: ConnectionLimits;

  /** `isProxy`: those from there are many clients' and count for none of them. */
  constructor(limits: ConnectionLimits, isProxy: (address: string) => boolean) {
    this.limits = limits;
    this.#isProxy = isProxy;
  }

  /** Makes room if need be. `undefined`: there is none, and the connection is closed. */
  accept(socket: Socket): Connection | undefined {
    const remote = socket.remoteAddress;
    if (remote === undefined) {
      // It is gone already.
      socket.destroy();
      return undefined;
    }
    const address = this.#isProxy(remote) ? '' : addressKey(remote);
    const mine = address === '' ? undefined : this.#ofAddress(address);
    const isTooMany = mine !== undefined && mine.size >= this.limits.connectionsPerAddress;
    if (
      (isTooMany && !this.#closeIdle(mine)) ||
      (this.#all.size >= this.limits.connections && !this.#closeIdle(this.#all))
    ) {
      if (mine?.size === 0) this.#byAddress.delete(address);
      publish('limited', { by: 'address', kind: 'connections', org: '-', remote });
      socket.destroy();
      return undefined;
    }
    const connection: Connection = { address, socket, lastAt: performance.now(), running: 0, gate: undefined };
    this.#all.add(connection);
    mine?.add(connection);
    this.attach(connection, socket);
    socket.once('close', () => this.#forget(connection));
    return connection;
  }

  /** The same connection, encrypted. */
  attach(connection: Connection, socket: Socket): void {
    connection.socket = socket;
    (socket as Known)[connectionOf] = connection;
  }

  /** Also by the stand-in for a socket that HTTP/2 gives out. */
  of(socket: Socket): Connection | undefined {
    return (socket as Known)[connectionOf];
  }

  get counts(): { readonly open: number; readonly idle: number } {
    let idle = 0;
    for (const connection of this.#all) if (isIdle(connection)) idle++;
    return { open: this.#all.size, idle };
  }

  *sockets(): Generator<Socket> {
    for (const { socket } of this.#all) yield socket;
  }

  #ofAddress(address: string): Set<Connection> {
    let mine = this.#byAddress.get(address);
    if (!mine) {
      mine = new Set();
      this.#byAddress.set(address, mine);
    }
    return mine;
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection);
    const mine = this.#byAddress.get(connection.address);
    mine?.delete(connection);
    if (mine?.size === 0) this.#byAddress.delete(connection.address);
  }

  /** The one that has been idle for longest. */
  #closeIdle(among: Set<Connection>): boolean {
    for (let looks = 0; looks < 2; looks++) {
      const candidates = this.#candidates.get(among) ?? [];
      for (let one = candidates.pop(); one; one = candidates.pop()) {
        const { connection, lastAt } = one;
        if (!among.has(connection) || connection.lastAt !== lastAt || !isIdle(connection)) continue;
        this.#forget(connection);
        connection.socket.destroy();
        return true;
      }
      if (looks === 0) this.#lookOut(among);
    }
    return false;
  }

  #lookOut(among: Set<Connection>): void {
    const idle = [...among].filter(isIdle).map((connection) => ({ connection, lastAt: connection.lastAt }));
    idle.sort((one, other) => other.lastAt - one.lastAt);
    this.#candidates.set(among, idle.slice(-lookedOut));
  }
}

const isIdle = ({ running, socket }: Connection): boolean => running === 0 && socket.writableLength === 0;
