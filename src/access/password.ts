/** Passwords: kept as scrypt hashes, compared in constant time, and not guessed at any speed. */
import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number }, Buffer>(scrypt);

/** 16 MB and some 50 ms each: RFC 7914 for interactive logins. */
const usual = { cost: 16_384, blockSize: 8, parallelism: 1 };
const keyBytes = 32;
const shape = /^scrypt\$(\d{1,7})\$(\d{1,3})\$(\d{1,2})\$([\w-]{16,})\$([\w-]{40,})$/;

/** `scrypt$N$r$p$salt$key`, the last two in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const { cost, blockSize, parallelism } = usual;
  const key = await derive(password.normalize('NFKC'), salt, keyBytes, { N: cost, r: blockSize, p: parallelism });
  return `scrypt$${cost}$${blockSize}$${parallelism}$${salt.toString('base64url')}$${key.toString('base64url')}`;
}

/** `kept` is a hash as above, or the password itself as a configuration may have it. */
export async function isPassword(password: string, kept: string): Promise<boolean> {
  const parts = shape.exec(kept);
  if (!parts) return timingSafeEqual(digest(password), digest(kept));
  const [, cost, blockSize, parallelism, salt = '', key = ''] = parts;
  const expected = Buffer.from(key, 'base64url');
  const found = await derive(password.normalize('NFKC'), Buffer.from(salt, 'base64url'), expected.byteLength, {
    N: Number(cost),
    r: Number(blockSize),
    p: Number(parallelism),
  });
  return timingSafeEqual(found, expected);
}

const digest = (text: string): Buffer => createHash('sha256').update(text.normalize('NFKC')).digest();

/** Failures that are free. */
const freeFailures = 5;
const longestWaitMs = 60_000;
/** After which failures are forgotten. */
const forgetAfterMs = 15 * 60_000;
const mostKeys = 10_000;

/** Slows down whoever keeps failing: after five failures each further try has to wait, up to a minute. Holds a bounded number of names and addresses. */
export class Failures {
  readonly #now: () => number;
  readonly #failed = new Map<string, { count: number; lastAt: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds until the next try may be made; 0: at once. */
  waitMs(key: string): number {
    const known = this.#failed.get(key);
    if (!known || known.count < freeFailures) return 0;
    const wait = Math.min(longestWaitMs, 1000 * 2 ** (known.count - freeFailures));
    return Math.max(0, known.lastAt + wait - this.#now());
  }

  failed(key: string): void {
    const now = this.#now();
    const known = this.#failed.get(key);
    const count = known && now - known.lastAt < forgetAfterMs ? known.count + 1 : 1;
    this.#failed.delete(key);
    this.#failed.set(key, { count, lastAt: now });
    if (this.#failed.size > mostKeys) this.#failed.delete(this.#failed.keys().next().value ?? '');
  }

  succeeded(key: string): void {
    this.#failed.delete(key);
  }
}

const rememberMs = 60_000;
const mostRemembered = 1000;

/** Passwords that were right a moment ago, by a digest of them: a client shows the same one with every request. */
export class RecentPasswords {
  readonly #now: () => number;
  readonly #salt = randomBytes(16);
  readonly #known = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  #keyOf(who: string, password: string, kept: string): string {
    return createHash('sha256')
      .update(this.#salt)
      .update(JSON.stringify([who, password, kept]))
      .digest('base64');
  }

  has(who: string, password: string, kept: string): boolean {
    return (this.#known.get(this.#keyOf(who, password, kept)) ?? 0) > this.#now();
  }

  add(who: string, password: string, kept: string): void {
    if (this.#known.size >= mostRemembered) this.#known.delete(this.#known.keys().next().value ?? '');
    this.#known.set(this.#keyOf(who, password, kept), this.#now() + rememberMs);
  }
}
