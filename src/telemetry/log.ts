/**
 * The log: one line a request, and what an operator should hear about. It only listens to events; `logger` is for the
 * process itself (starting, stopping).
 */
import { type DestinationStream, destination, type Logger, levels, pino, stdSerializers } from 'pino';
import { type EventName, type Events, subscribe } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { accessLine, levelOf } from './access-line.ts';
import { prettyLine } from './pretty.ts';
import { redactText, redactUrl } from './redact.ts';

export interface LogOptions {
  readonly level: string;
  readonly access: boolean;
  readonly pretty: boolean;
  /** A file to write to instead of standard output. */
  readonly file?: string;
}

export interface Log {
  readonly logger: Logger;
  /** What was logged so far goes out now. */
  flush(): void;
  /** Writes what is left and listens no longer. */
  stop(): Promise<void>;
}

/** Lines wait for company, but not longer than this. */
const flushMs = 250;
const chunkLength = 32 * 1024;
/** Whoever reads the log too slowly loses lines, not us the memory. */
const longestBacklogBytes = 16 * 1024 * 1024;
const longestEndMs = 2000;

interface Lines {
  add(line: string): void;
  /** Hands over what waits. */
  flush(): void;
  end(): Promise<void>;
}

/** Collects lines into chunks: the stream below measures all of its buffer anew for each piece it is given. */
function openLines(file: string | undefined, onDrop: (lines: number) => void): Lines {
  const out = destination({ dest: file ?? 1, sync: false, maxLength: longestBacklogBytes });
  out.on('drop', (chunk: string) => onDrop(chunk.split('\n').length - 1));
  // Nobody is left to read it (a closed pipe): no reason to stop serving.
  out.on('error', () => {});
  let waiting = '';
  let ended = false;
  const flush = (): void => {
    if (waiting === '') return;
    const chunk = waiting;
    waiting = '';
    out.write(chunk);
  };
  const atExit = (): void => {
    flush();
    try {
      out.flushSync();
    } catch {
      // The other side is gone.
    }
  };
  process.on('exit', atExit);
  return {
    add(line) {
      if (ended) return;
      waiting += line;
      if (waiting.length >= chunkLength) flush();
    },
    flush,
    async end() {
      if (ended) return;
      flush();
      ended = true;
      const closed = new Promise<void>((done) => out.once('close', () => done()));
      out.end();
      // A reader that stands still does not keep the process.
      const late = new Promise<void>((done) => setTimeout(done, longestEndMs).unref());
      await Promise.race([closed, late]);
      process.off('exit', atExit);
    },
  };
}

export function startLog(options: LogOptions): Log {
  let dropped = 0;
  const lines = openLines(options.file, (count) => {
    dropped += count;
  });
  const write = options.pretty ? (line: string): void => lines.add(prettyLine(line)) : lines.add;
  const soon: DestinationStream = {
    write(line) {
      write(line);
      // What is not about a request is rare, and someone may be waiting for it.
      lines.flush();
    },
  };
  const logger = pino(
    { level: options.level, base: null, serializers: { err: describeError, error: describeError } },
    soon,
  );

  const flush = (): void => {
    lines.flush();
    if (dropped === 0) return;
    const count = dropped;
    dropped = 0;
    logger.warn({ dropped: count }, 'log lines dropped: the reader of the log is too slow');
  };
  const timer = setInterval(flush, flushMs).unref();

  const ends = logEvents(logger);
  const least = options.level === 'silent' ? Number.POSITIVE_INFINITY : (levels.values[options.level] ?? 0);
  if (options.access) ends.push(logRequests(write, least));

  return {
    logger,
    flush,
    async stop() {
      for (const end of ends.splice(0)) end();
      clearInterval(timer);
      await lines.end();
    },
  };
}

function logRequests(write: (line: string) => void, least: number): () => void {
  return subscribe('request', (request) => {
    if (levelOf(request) >= least) write(accessLine(request, Date.now()));
  });
}

/** Static messages, facts as fields. */
function logEvents(logger: Logger): (() => void)[] {
  const ends: (() => void)[] = [];
  const on = <N extends EventName>(name: N, listener: (event: Events[N]) => void): void => {
    ends.push(subscribe(name, listener));
  };
  on('request', ({ id, error }) => {
    if (error === undefined) return;
    // What is ours to explain is in the access line; anything else needs its stack.
    if (error instanceof Problem && error.code !== 'internal') logger.debug({ id, err: error }, 'request failed');
    else logger.error({ id, err: error }, 'request failed inside Larder');
  });
  on('download.mismatch', ({ url, expected, actual }) =>
    logger.error({ url: redactUrl(url), expected, actual }, 'upstream sent bytes that are not what was promised'),
  );
  on('document.invalid', ({ url, reason }) =>
    logger.warn({ url: redactUrl(url), reason: redactText(reason) }, 'upstream sent a document that is none'),
  );
  on('contradiction', (event) =>
    logger.warn(event, 'a document now names another digest for bytes kept as immutable; the first bytes stay'),
  );
  on('breaker', ({ origin, state }) => {
    if (state === 'open') logger.warn({ origin }, 'upstream keeps failing and is left alone for a while');
    else logger.info({ origin, state }, state === 'closed' ? 'upstream answers again' : 'upstream is tried again');
  });
  on('store.full', ({ full, reason }) => {
    if (full) logger.warn({ reason }, 'the store takes nothing new; answers are passed on without being stored');
    else logger.info('the store takes new bytes again');
  });
  on('store.damaged', (event) => logger.error(event, 'stored bytes are damaged and were set aside'));
  on('fault', ({ where, error }) => logger.error({ where, err: error }, 'something in the background failed'));
  on('download.resume', ({ url, offset }) =>
    logger.debug({ url: redactUrl(url), offset }, 'a download that was cut goes on'),
  );
  on('limited', ({ requestId, ...event }) => logger.debug({ id: requestId, ...event }, 'a client met a limit'));
  on('client.slow', (event) => logger.info(event, 'a client was cut because it was too slow'));
  on('upstream.retry', (event) => logger.debug(event, 'upstream is asked again'));
  on('upstream.failure', (event) => logger.debug(event, 'upstream did not answer'));
  return ends;
}

/** Type, message, code, stack and causes of an error, without credentials. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return redactText(String(error));
  const { type, message, stack } = stdSerializers.err(error);
  const { code } = error as NodeJS.ErrnoException;
  return {
    type,
    ...(code !== undefined && { code }),
    message: redactText(message),
    ...(stack !== undefined && { stack: redactText(stack) }),
  };
}
