import { type Warmed, warm } from '../jobs/warm.ts';
import { version } from '../version.ts';
import { serverOf, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption } from './command.ts';
import {
  concurrencyIn,
  concurrencyOption,
  type Needs,
  needsOf,
  platformOption,
  repositoryOption,
  resolveOption,
  sizeText,
} from './needs.ts';
import { startProgress } from './progress.ts';

export const command: Command = {
  name: 'warm',
  positionals: 'FILE…',
  summary: 'Fetches everything that lockfiles name, and what their clients ask for on the way, through a server.',
  details: `FILE is a lockfile, a list of images, a Dockerfile, an SBOM, or what larder missing wrote on a server without
internet. Digests in it are compared with what comes. What is stored already is not fetched again, so a run that was
broken off is simply started again. Clients are served first. Exits with 3 and a list when something could not be had.`,
  options: {
    config: configOption,
    url: urlOption,
    token: tokenOption,
    repository: repositoryOption,
    platform: platformOption,
    resolve: resolveOption,
    concurrency: concurrencyOption,
    'dry-run': { type: 'boolean', short: 'n', description: 'Fetch nothing; say how much would be asked for.' },
    json: jsonOption,
  },
  async run(input) {
    const { url, token } = await serverOf(input);
    const concurrency = concurrencyIn(input);
    const isDry = input.flag('dry-run');
    const needs = await needsOf(input, url, token);
    const progress = startProgress(isDry ? 'looking' : 'warming');
    const startedAt = performance.now();
    let warmed: Warmed;
    try {
      const tell = progress.show;
      warmed = await warm(needs.tasks, {
        token,
        userAgent: `larder-warm/${version}`,
        concurrency,
        onlyStored: isDry,
        further: input.flag('resolve'),
        tell,
      });
    } finally {
      progress.end();
    }
    if (isDry) tellDry(input, needs, warmed);
    else tellDone(input, needs, warmed, performance.now() - startedAt);
    const hasFailed = warmed.tasks.some(({ task, outcome }) => outcome === 'failed' && !task.optional);
    return hasFailed && !isDry ? exitCodes.partly : exitCodes.done;
  },
};

function tellDry(input: Input, needs: Needs, { tasks, requests, bytes }: Warmed): void {
  const { say } = input;
  const there = tasks.filter(({ outcome }) => outcome !== 'failed').length;
  if (input.flag('json')) {
    say(
      json({ wanted: tasks.length, there, requests, bytes: bytes.there, skipped: needs.skipped, notes: needs.notes }),
    );
    return;
  }
  say(
    `${tasks.length} things are wanted with ${requests} requests or more; ${there} of them are stored already (${sizeText(bytes.there)}).`,
  );
  say('How large the others are is not known before they are asked for.');
  tellSkipped(input, needs);
}

function tellDone(input: Input, needs: Needs, warmed: Warmed, tookMs: number): void {
  const { say } = input;
  const { tasks, requests, bytes } = warmed;
  const failed = tasks.filter(({ outcome }) => outcome === 'failed');
  const got = tasks.filter(({ outcome }) => outcome === 'got').length;
  const there = tasks.filter(({ outcome }) => outcome === 'there').length;
  if (input.flag('json')) {
    say(
      json({
        got,
        there,
        failed: failed.map(({ task: { what, from, repository, optional }, failures }) => ({
          what,
          from,
          ...(repository === '' ? {} : { repository }),
          ...(optional ? { optional } : {}),
          failures,
        })),
        unverifiable: needs.unverifiable,
        skipped: needs.skipped,
        notes: needs.notes,
        requests,
        bytes,
        seconds: Math.round(tookMs / 100) / 10,
      }),
    );
    return;
  }
  say(
    `${got} got (${sizeText(bytes.got)}), ${there} already there, ${failed.length} failed; ${requests} requests in ${(tookMs / 1000).toFixed(1)} s.`,
  );
  if (needs.unverifiable > 0) {
    say(
      `${needs.unverifiable} have no digest of their file in the lockfile: what upstream says of them was checked, and nothing else.`,
    );
  }
  for (const { task, failures } of failed) {
    const without = task.optional ? ' (the build can do without)' : '';
    for (const { path, why } of failures) {
      say(`failed   ${task.what}${without}: ${path === undefined ? '' : `${task.repository} /${path}: `}${why}`);
    }
    say(`         ${task.from}`);
  }
  tellSkipped(input, needs);
}

function tellSkipped({ say }: Input, { skipped, notes }: Needs): void {
  for (const { what, why, from } of skipped) say(`skipped  ${what}: ${why}\n         ${from}`);
  for (const note of notes) say(`note     ${note}`);
}
