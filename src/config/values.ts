/** The kinds of values that options have, with what is said about one that is none. */
import { z } from 'zod';
import { parseDuration, parseRate, parseSize } from './units.ts';

const reference = /\$\{[^}]+\}/.source;

/** Messages that start with `is` get the value put before them. */
export function anyDuration() {
  return z
    .union([z.string(), z.number()], { error: 'needs a duration, such as 30s' })
    .meta({ title: 'duration', pattern: `^(0|\\d+(\\.\\d+)? ?(ms|s|m|h|d)|${reference})$` })
    .transform((value, context) => {
      const ms = parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue('is not a duration; write a number and one of ms, s, m, h, d, such as 30s');
      return z.NEVER;
    });
}

/** How long; in milliseconds once read. */
export function duration(fallback: string) {
  return anyDuration().prefault(fallback);
}

/** A duration whose name says milliseconds, so that a plain number is one too. */
export function milliseconds(fallback: number) {
  return z
    .union([z.number(), z.string()], { error: 'needs milliseconds, such as 30000, or a duration, such as 30s' })
    .meta({ title: 'milliseconds, or a duration', pattern: `^(\\d+(\\.\\d+)? ?(ms|s|m|h|d)?|${reference})$` })
    .transform((value, context) => {
      const ms = /^\d+$/.test(String(value)) ? Number(value) : parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue('is neither a number of milliseconds nor a duration such as 30s');
      return z.NEVER;
    })
    .prefault(fallback);
}

/** How much; in bytes once read. */
export function size() {
  return z
    .union([z.string(), z.number()], { error: 'needs a size, such as 64MiB' })
    .meta({ title: 'size', pattern: `^(\\d+(\\.\\d+)? ?([kKmMgGtT][iI]?)?[bB]?|${reference})$` })
    .transform((value, context) => {
      const bytes = parseSize(value);
      if (bytes !== undefined) return bytes;
      context.addIssue('is not a size; write a number and one of KB, MB, GB, TB, KiB, MiB, GiB, TiB, such as 50GB');
      return z.NEVER;
    });
}

/** How many. */
export function count(fallback: number, least = 0, most = 1_000_000) {
  return z
    .union([z.number(), z.string()], { error: 'needs a whole number' })
    .meta({ title: 'number', pattern: `^(\\d+|${reference})$`, minimum: least, maximum: most })
    .transform((value, context) => {
      const number = /^\d+$/.test(String(value)) ? Number(value) : Number.NaN;
      if (number >= least && number <= most) return number;
      context.addIssue(`is not a whole number from ${least} to ${most}`);
      return z.NEVER;
    })
    .prefault(fallback);
}

/** Whether. */
export function flag(fallback: boolean) {
  return z
    .union([z.boolean(), z.enum(['true', 'false'])], { error: 'is neither true nor false' })
    .meta({ title: 'true or false' })
    .transform((value) => value === true || value === 'true')
    .prefault(fallback);
}

/** A part of a whole. */
export function share() {
  return z
    .union([z.number(), z.string()], { error: 'needs a number from 0 to 1, such as 0.1' })
    .meta({ title: 'number from 0 to 1', pattern: `^([01]|0?\\.\\d+|1\\.0+|${reference})$`, minimum: 0, maximum: 1 })
    .transform((value, context) => {
      const number = /^\d*\.?\d+$/.test(String(value)) ? Number(value) : Number.NaN;
      if (number >= 0 && number <= 1) return number;
      context.addIssue('is not a number from 0 to 1');
      return z.NEVER;
    });
}

/** Anything; `title` says what, for people. */
export function text(title = 'text') {
  return z.string().min(1, { error: 'is empty' }).meta({ title });
}

/** By names such as organisations and upstreams have. */
export function nameRecord<T extends z.ZodType>(value: T) {
  return z.record(
    z.string().regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, {
      error: 'is not a name: lower-case letters, digits, "-", "." and "_", the first a letter or digit, at most 100',
    }),
    value,
  );
}

/** `undefined`: not said. */
export function orUnlimited<T extends z.ZodType>(value: T, title: string) {
  return z
    .union([z.literal('unlimited'), value], { error: `needs ${title}, or unlimited` })
    .meta({ title: `${title}, or unlimited` })
    .optional();
}

/** Per second. */
export function rate() {
  return z
    .union([z.string(), z.number()], { error: 'needs a rate, such as 50/s' })
    .meta({ title: 'rate', pattern: `^(\\d+(\\.\\d+)?(/[smh])?|unlimited|${reference})$` })
    .transform((value, context) => {
      const perSecond = parseRate(value);
      if (perSecond !== undefined && perSecond > 0) return perSecond;
      context.addIssue('is no rate; write a number and one of /s, /m, /h, such as 50/s or 600/m');
      return z.NEVER;
    });
}
