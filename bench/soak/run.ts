/** One soak: starts everything, lets the load run through its phases, waits until it is quiet, and judges. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomFrom } from '../../test/support/bytes.ts';
import { parseMetrics } from '../../test/support/metrics.ts';
import { catalogsOf, formats } from './catalog.ts';
import { createClient } from './client.ts';
import { type Collector, startCollector } from './collector.ts';
import { type Fake, startFakes } from './fakes.ts';
import {
  between,
  type Check,
  judgeBytes,
  judgeFailures,
  judgeLimits,
  judgeRequests,
  judgeRest,
  judgeUpstreams,
  readLog,
} from './judge.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createMischief } from './mischief.ts';
import { createPublisher } from './publishing.ts';
import * as reading from './reading.ts';
import { type Subject, startSubject } from './subject.ts';
import {
  descriptorsOf,
  filesBelow,
  openFilesOf,
  type Sample,
  type Slope,
  sample,
  scrapeText,
  slopeOf,
} from './watch.ts';
import type { World } from './world.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Empty, or not there yet. */
  readonly folder: string;
  readonly program: string;
  readonly nodeOptions: readonly string[];
  readonly maxSizeBytes: number;
  /** Times the usual rate of steps. */
  readonly rate: number;
  readonly pinned: boolean;
  readonly sampleMs: number;
  /** How long the process is left alone at the end before its memory is looked at once more. */
  readonly idleMs: number;
  readonly say: (text: string) => void;
  /** Ends the load early; what was seen until then is judged all the same. */
  readonly signal?: AbortSignal;
}

export interface Outcome {
  readonly options: Pick<SoakOptions, 'minutes' | 'seed' | 'rate' | 'maxSizeBytes'>;
  readonly seconds: number;
  readonly checks: readonly Check[];
  readonly violations: readonly string[];
  readonly violationCount: number;
  readonly steps: Readonly<Record<string, number>>;
  readonly statuses: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
  readonly memory: {
    readonly rss: Slope;
    readonly heap: Slope;
    readonly afterWarmUp: number;
    readonly peak: number;
    readonly atEnd: number;
    readonly afterIdle: number;
  };
  readonly cpuShare: number;
  /** How often the load generator itself was held up for seconds. */
  readonly standstills: number;
  readonly requests: number;
  readonly clientBytes: number;
  readonly errors: readonly string[];
}

interface Phase {
  readonly name: string;
  /** Steps a second. */
  readonly rate: number;
  /** Share of upstream answers that go wrong: everywhere, and at two upstreams that have it worse. */
  readonly faults: number;
  readonly storm?: number;
  readonly share: number;
}

const phases: readonly Phase[] = [
  { name: 'calm', rate: 40, faults: 0, share: 0.15 },
  { name: 'mixed', rate: 40, faults: 0.03, share: 0.3 },
  { name: 'storm', rate: 40, faults: 0.02, storm: 0.4, share: 0.2 },
  { name: 'after', rate: 30, faults: 0, share: 0.1 },
  { name: 'busy', rate: 80, faults: 0, share: 0.2 },
  { name: 'quiet', rate: 3, faults: 0, share: 0.05 },
];

const mostStepsAtOnce = 120;
/** How often to look whether the machine stands still, and from when on it does. */
const beatMs = 250;
const standstillMs = 1500;
const longestQuietMs = 150_000;
/** Of an upload in several requests: who began it, its bytes, its lock. */
const filesOfSession = 3;
/** Files of blobs that are kept open for the next reader (src/store/handles.ts). */
const idleBlobs = 128;

/**
 * How many descriptors of a kind there may be afterwards. SQLite does not close the second descriptor of a database file while
 * the process has a lock on it, but keeps it for the next connection (its page on how to corrupt a file, 2.2): one, however
 * many checkpoints there were.
 */
function mayBeOpen(kind: string, before: Readonly<Record<string, number>>): number {
  const then = before[kind] ?? 0;
  return kind === 'blobs' ? Math.max(then, idleBlobs) : kind === 'index' ? then + 1 : then;
}
/** What a server has that nobody is connected to. */
const listeningSockets = 1;

export async function soak(options: SoakOptions): Promise<Outcome> {
  const { seed, say, folder } = options;
  await mkdir(folder, { recursive: true });
  const startedAt = performance.now();
  const nowMs = (): number => performance.now() - startedAt;
  const random = randomFrom(seed);
  const ledger = createLedger((text) => say(`${(nowMs() / 1000).toFixed(0)} s  ${text}`));
  const catalogs = catalogsOf(seed);
  const secret = 'zzsecret';
  const fakes = await startFakes({
    catalogs,
    random: randomFrom(seed + 1),
    nowMs,
    secret,
    violation: (what) => ledger.violation(`LEAK OR FAULT OF THE FAKE: ${what}`),
  });
  const collector = await startCollector((what) => ledger.violation(what));
  let subject: Subject | undefined;
  try {
    subject = await startSubject({ ...options, fakes, secret, collectorUrl: collector.url });
    return await under(subject, collector);
  } finally {
    await subject?.stop();
    await collector.close();
    await Promise.all(Object.values(fakes).map((fake) => fake.close()));
  }

  async function under(larder: Subject, traces: Collector): Promise<Outcome> {
    const client = createClient(larder.port);
    let serial = 1000;
    const world: World = {
      client,
      catalogs,
      fakes,
      ledger,
      tokens: larder.tokens,
      random,
      nowMs,
      seed,
      origin: larder.origin,
      secret,
      fresh: () => {
        serial += 1;
        return serial;
      },
      limited: (org) => org === 'beta',
    };
    const publisher = createPublisher();
    const mischief = createMischief();
    const samples: Sample[] = [];
    const running = new Set<Promise<void>>();
    const weights: readonly (readonly [number, string, (world: World) => Promise<void>])[] = [
      [30, 'hit', reading.hit],
      [14, 'read', reading.read],
      [8, 'miss', reading.miss],
      [14, 'page', reading.page],
      [6, 'condition', reading.condition],
      [8, 'range', reading.range],
      [3, 'large', reading.large],
      [2, 'join', reading.join],
      [0.7, 'under way', reading.underWay],
      [3, 'leave', reading.leave],
      [0.7, 'slow', reading.slow],
      [2, 'missing', reading.missing],
      [3, 'publish', publisher.publish],
      [3, 'read back', publisher.readBack],
      [1.5, 'leave upload', publisher.leaveUpload],
      [2, 'refused', publisher.refused],
      [1, 'unpublished', publisher.unpublished],
      [1, 'garbage', mischief.garbage],
      [0.5, 'tokens', mischief.tokens],
    ];
    const weight = weights.reduce((sum, [one]) => sum + one, 0);

    function step(): void {
      let left = random() * weight;
      const [, name, take] =
        weights.find(([one]) => {
          left -= one;
          return left < 0;
        }) ??
        weights[0] ??
        [];
      if (!take || name === undefined) return;
      ledger.step(name);
      const taken = take(world).catch((error: unknown) => {
        ledger.violation(`the step ${name} failed: ${error instanceof Error ? error.stack : String(error)}`);
      });
      running.add(taken);
      void taken.finally(() => running.delete(taken));
    }

    async function look(): Promise<void> {
      samples.push(await sample(larder.pid, larder.origin, larder.dataFolder, nowMs()));
      const last = samples.at(-1);
      if (!last) return;
      const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);
      say(
        `${(last.atMs / 1000).toFixed(0)} s  rss ${mb(last.rssBytes)} MB, heap ${mb(last.heapBytes)} MB, external ${mb(last.externalBytes)} MB, store ${mb(last.storeBytes)} MB in ${last.storeEntries}, fds ${JSON.stringify(last.descriptors)}, staging ${last.staging}, uploads ${last.uploads}, requests ${last.requests}, steps ${running.size}, violations ${ledger.violationCount}, loop p99 ${last.loopDelayP99Ms.toFixed(0)} ms`,
      );
    }

    /** Load of one kind for a while. */
    async function load(phase: Phase, ms: number): Promise<void> {
      const until = nowMs() + ms;
      let owed = 0;
      let last = nowMs();
      while (nowMs() < until && !options.signal?.aborted) {
        if (!larder.alive()) throw new Error(`Larder ended. ${(await readFile(larder.logPath, 'utf8')).slice(-3000)}`);
        owed = Math.min(20, owed + ((nowMs() - last) / 1000) * phase.rate * options.rate);
        last = nowMs();
        for (; owed >= 1; owed -= 1) if (running.size < mostStepsAtOnce) step();
        await delay(20);
      }
    }

    async function quiet(): Promise<void> {
      for (const fake of Object.values(fakes)) fake.rate = 0;
      await Promise.race([Promise.all([...running]), delay(longestQuietMs, undefined, { ref: false })]);
      if (running.size > 0) ledger.violation(`${running.size} steps did not end`);
    }

    function weather(phase: Phase): void {
      const all = Object.values(fakes);
      for (const fake of all) fake.rate = phase.faults;
      if (phase.storm === undefined) return;
      for (let n = 0; n < 2; n += 1) {
        const chosen = all[Math.floor(random() * all.length)];
        if (chosen) chosen.rate = phase.storm;
      }
    }

    async function refusals(phase: Phase, ms: number): Promise<void> {
      if (phase.storm === undefined) return;
      await delay(ms / 3);
      const chosen: Fake | undefined = Object.values(fakes)[Math.floor(random() * formats.length)];
      await chosen?.refuse(Math.min(8000, ms / 3));
    }

    // Where other programs leave this one no time, its upstreams are late without wanting to be.
    let stood = 0;
    let beat = nowMs();
    const heart = setInterval(() => {
      const late = nowMs() - beat - beatMs;
      beat = nowMs();
      if (late < standstillMs) return;
      stood += 1;
      for (const fake of Object.values(fakes)) fake.stoodStill();
    }, beatMs).unref();
    const totalMs = options.minutes * 60_000;
    const warmMs = Math.min(60_000, totalMs / 6);
    const cycleMs = Math.max(20_000, Math.min(300_000, (totalMs - warmMs) / 2));
    say(`warming up for ${(warmMs / 1000).toFixed(0)} s`);
    const [calm] = phases;
    if (calm) await load(calm, warmMs);
    await quiet();
    say(`warm at ${(nowMs() / 1000).toFixed(0)} s`);
    client.close();
    const before = await settled(larder, undefined);
    say(`after warm-up, at ${(nowMs() / 1000).toFixed(0)} s: ${JSON.stringify(before)}`);

    let looking = true;
    const looks = (async () => {
      while (looking) {
        await look().catch((error: unknown) => ledger.violation(`a sample failed: ${String(error)}`));
        await delay(options.sampleMs);
      }
    })();
    let reloads = 0;
    const reloading = (async () => {
      while (looking) {
        await delay(Math.min(45_000, totalMs / 8));
        if (!looking) break;
        reloads += 1;
        await larder.reload(reloads);
      }
    })();
    const end = nowMs() + totalMs - warmMs;
    while (nowMs() < end && !options.signal?.aborted) {
      for (const phase of phases) {
        const ms = Math.min(cycleMs * phase.share, end - nowMs());
        if (ms <= 0) break;
        weather(phase);
        await Promise.all([load(phase, ms), refusals(phase, ms)]);
        for (const fake of Object.values(fakes)) fake.rate = 0;
      }
    }
    looking = false;
    clearInterval(heart);
    say(`the load ends at ${(nowMs() / 1000).toFixed(0)} s`);
    await quiet();
    say(`every step has ended at ${(nowMs() / 1000).toFixed(0)} s`);
    await look();
    client.close();
    await looks;
    const after = await settled(larder, before);
    say(`connections are closed at ${(nowMs() / 1000).toFixed(0)} s`);
    const leftOver = Object.entries(after).filter(([kind, count]) => count > mayBeOpen(kind, before));
    const openFiles = (await openFilesOf(larder.pid, larder.dataFolder))
      .filter(([kind]) => leftOver.some(([one]) => one === kind))
      .map(([, target]) => target);
    await delay(options.idleMs);
    await look();
    const text = await scrapeText(larder.origin);
    await writeFile(join(folder, 'metrics.txt'), text);
    const metrics = parseMetrics(text);
    const staging = await filesBelow(join(larder.dataFolder, 'staging'));
    // The lock of the process itself.
    const staged = staging.files.filter((file) => !file.endsWith('.lock'));
    const uploads = await filesBelow(join(larder.dataFolder, 'uploads'));
    const seconds = nowMs() / 1000;
    const blobs = await filesBelow(join(larder.dataFolder, 'blobs'));
    const exitCode = await larder.stop();
    await reloading;
    const log = await readLog(larder.logPath);
    const verified = await larder.verify();

    const loaded = samples.slice(0, -2);
    const half = loaded.slice(Math.floor(loaded.length / 2));
    const points = (of: (one: Sample) => number): (readonly [number, number])[] =>
      half.map((one) => [one.atMs / 3_600_000, of(one)] as const);
    const faults: Record<string, number> = {};
    for (const { tally } of Object.values(fakes)) {
      for (const [fault, count] of Object.entries(tally.faults)) faults[fault] = (faults[fault] ?? 0) + count;
      if (tally.refusals > 0)
        faults['connections refused for a while'] = (faults['connections refused for a while'] ?? 0) + tally.refusals;
    }
    const checks: Check[] = [
      {
        name: 'answers that were wrong',
        said: `${ledger.violationCount}`,
        counted: '0',
        ok: ledger.violationCount === 0,
      },
      {
        name: 'descriptors left open',
        said: leftOver.length === 0 ? '0' : JSON.stringify(Object.fromEntries(leftOver)),
        counted: `as after warm-up: ${JSON.stringify(before)}${openFiles.length > 0 ? `; open: ${openFiles.join(' ')}` : ''}`,
        ok: leftOver.length === 0,
      },
      {
        name: 'parts of files that proved wrong after them',
        said: `${ledger.early}`,
        counted: `0 to ${(faults['wrong byte'] ?? 0) * 10}`,
        ok: ledger.early <= (faults['wrong byte'] ?? 0) * 10,
        reason:
          'a range that ends before its file does is sent while the file is still coming, before its digest is known',
      },
      { name: 'files in staging', said: `${staged.length}`, counted: '0', ok: staged.length === 0 },
      {
        name: 'files of uploads',
        said: `${uploads.files.length}`,
        counted: `0 to ${publisher.openSessions() * filesOfSession}`,
        ok: uploads.files.length <= publisher.openSessions() * filesOfSession,
        reason: 'a session that was begun and not ended stays for a day',
      },
      {
        name: 'larder verify',
        said: verified.clean ? 'clean' : verified.text.slice(0, 1000),
        counted: 'clean',
        ok: verified.clean,
      },
      { name: 'exit code', said: `${exitCode}`, counted: '0', ok: exitCode === 0 },
      { name: 'error lines in the log', said: `${log.errors.length}`, counted: '0', ok: log.errors.length === 0 },
      ...judgeRequests(metrics, ledger),
      exactlyLines(log.requests, metrics.sum('larder_requests_total')),
      ...judgeBytes(metrics, ledger),
      ...judgeFailures(metrics, ledger),
      ...judgeUpstreams(metrics, fakes),
      ...judgeRest(metrics, faults),
      ...judgeLimits(metrics, ledger),
      {
        name: 'spans of traces that arrived',
        said: `${traces.spans()}, ${metrics.sum('larder_trace_spans_dropped_total')} dropped`,
        counted: 'more than none, none dropped',
        ok: traces.spans() > 0 && metrics.sum('larder_trace_spans_dropped_total') === 0,
      },
      between(
        'configuration read again',
        metrics.sum('larder_config_reloads_total', { outcome: 'done' }),
        Math.max(0, reloads - 1),
        reloads,
        'the last one may not have been read before the end',
      ),
      {
        name: 'bytes stored',
        said: `${metrics.sum('larder_store_bytes')}`,
        counted: `${blobs.bytes} in blobs`,
        ok: metrics.sum('larder_store_bytes') >= blobs.bytes,
        reason: 'entries count, too',
      },
    ];
    const [first, last] = [samples[0], samples.at(-1)];
    return {
      options: { minutes: options.minutes, seed, rate: options.rate, maxSizeBytes: options.maxSizeBytes },
      seconds,
      checks,
      violations: ledger.violations,
      violationCount: ledger.violationCount,
      steps: Object.fromEntries(ledger.steps),
      statuses: statusesOf(ledger),
      faults,
      samples,
      memory: {
        rss: slopeOf(points(({ rssBytes }) => rssBytes)),
        heap: slopeOf(points(({ heapBytes }) => heapBytes)),
        afterWarmUp: first?.rssBytes ?? 0,
        peak: Math.max(...samples.map(({ rssBytes }) => rssBytes)),
        atEnd: samples.at(-2)?.rssBytes ?? 0,
        afterIdle: last?.rssBytes ?? 0,
      },
      cpuShare: first && last ? (last.cpuSeconds - first.cpuSeconds) / ((last.atMs - first.atMs) / 1000) : 0,
      standstills: stood,
      requests: metrics.sum('larder_requests_total'),
      clientBytes: metrics.sum('larder_client_bytes_total'),
      errors: log.errors,
    };
  }
}

function exactlyLines(lines: number, said: number): Check {
  return {
    name: 'access lines in the log',
    said: `${lines}`,
    counted: `${said} to ${said + 5}`,
    ok: lines >= said && lines <= said + 5,
    reason: 'the last request for the metrics is not among them',
  };
}

function statusesOf(ledger: Ledger): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [key, count] of ledger.statuses) {
    const status = key.split(' ')[1] ?? '';
    sums[status] = (sums[status] ?? 0) + count;
  }
  return sums;
}

/** Descriptors once there are no more than before, or it has been waited for long enough. */
async function settled(
  larder: Subject,
  before: Readonly<Record<string, number>> | undefined,
): Promise<Record<string, number>> {
  const deadline = Date.now() + longestQuietMs / 2;
  for (;;) {
    const now = await descriptorsOf(larder.pid, larder.dataFolder);
    const isDown = before
      ? Object.entries(now).every(([kind, count]) => count <= mayBeOpen(kind, before))
      : (now.socket ?? 0) <= listeningSockets;
    if (isDown || Date.now() > deadline) return now;
    await delay(500);
  }
}
