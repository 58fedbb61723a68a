/** What is missing while offline, what was recorded, and what is kept warm: as the API tells it. */
import { z } from 'zod';

const time = z.string().describe('ISO 8601.');

export const missingSchema = z
  .object({
    repository: z.string().describe('`org/name`.'),
    path: z.string().describe('Raw, below the repository, with its query.'),
    accept: z.string().optional().describe('Where the answer depends on it.'),
    count: z.int().describe('How often it was asked for.'),
    firstAt: time,
    lastAt: time,
  })
  .meta({ id: 'MissingThing' });

export const recordedSetSchema = z
  .object({
    name: z.string(),
    things: z.int().describe("Documents and files of the organisation's repositories."),
    changedAt: time,
  })
  .meta({ id: 'RecordedSet' });

export const keepWarmSchema = z
  .object({
    running: z.boolean(),
    startedAt: time.optional().describe('Of the last run, or of the one under way.'),
    endedAt: time.optional(),
    documents: z.int().describe('Refreshed.'),
    artifacts: z.int().describe('Newest versions that are here now.'),
    failed: z.int(),
  })
  .meta({ id: 'KeepWarm' });

type Read<T> = { readonly [K in keyof T]: T[K] };

export type MissingThing = Read<Omit<z.output<typeof missingSchema>, 'accept'>> & { readonly accept?: string };
export type RecordedSet = Read<z.output<typeof recordedSetSchema>>;
export type KeptWarm = Read<Omit<z.output<typeof keepWarmSchema>, 'startedAt' | 'endedAt'>> & {
  readonly startedAt?: string;
  readonly endedAt?: string;
};

export interface Missing {
  list(org: string): Promise<readonly MissingThing[]>;
  clear(org: string): Promise<number>;
}

export interface Recordings {
  list(org: string): Promise<readonly RecordedSet[]>;
  find(org: string, name: string): Promise<RecordedSet | undefined>;
  remove(org: string, name: string): Promise<void>;
}

export interface KeepWarm {
  /** `undefined`: the repository is not kept warm. */
  state(repository: string): KeptWarm | undefined;
  /** Begins now, unless it is under way. */
  run(repository: string): KeptWarm | undefined;
}
