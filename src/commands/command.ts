/** What a command of `larder` is, and what its mistakes are. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { guess } from '../config/suggest.ts';

/** Exit codes that scripts may rely on. */
export const exitCodes = { done: 0, failed: 1, usage: 2, partly: 3 } as const;

export interface Option {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** What its value is, for the help. */
  readonly value?: string;
  readonly description: string;
}

export interface Command {
  readonly name: string;
  /** After the name, such as `CLIENT`. */
  readonly positionals?: string;
  readonly summary: string;
  readonly details?: string;
  readonly options: Readonly<Record<string, Option>>;
  /** Resolves to the exit code. */
  run(input: Input): Promise<number>;
}

/** What a command has to do with the outside: its output and the environment. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A line for standard output. */
  say(text: string): void;
  /** A line for standard error. */
  warn(text: string): void;
}

export interface Input extends Surroundings {
  readonly positionals: readonly string[];
  text(option: string): string | undefined;
  /** Every value of an option that may be given more than once. */
  texts(option: string): readonly string[];
  flag(option: string): boolean;
}

/** Whoever called did it wrong; one line with what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const configOption: Option = {
  type: 'string',
  short: 'c',
  value: 'FILE',
  description: 'Configuration; else LARDER_CONFIG, else the default one.',
};
export const jsonOption: Option = { type: 'boolean', description: 'For scripts.' };
export const helpOption: Option = { type: 'boolean', short: 'h', description: 'This text.' };

export function parse(command: Command, args: readonly string[], surroundings: Surroundings): Input {
  const known: Readonly<Record<string, Option>> = { ...command.options, help: helpOption };
  const options: NonNullable<ParseArgsConfig['options']> = Object.fromEntries(
    Object.entries(known).map(([name, { type, short }]) => [name, short === undefined ? { type } : { type, short }]),
  );
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(known, token.name) ? known[token.name] : undefined;
    if (!option) {
      const near = guess(token.name, Object.keys(known)).replace(/"(.*)"/, '--$1');
      throw new UsageError(`unknown option ${token.rawName}${near || `; larder ${command.name} --help lists them`}`);
    }
    const given = token.value !== undefined && token.value !== '';
    if (option.type === 'string' && (!given || (!token.inlineValue && token.value?.startsWith('-')))) {
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${option.value ?? 'VALUE'}`);
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value`);
    }
  }
  if (command.positionals === undefined && positionals.length > 0) {
    throw new UsageError(
      `${command.name} takes no "${positionals[0]}"; larder ${command.name} --help says what it takes`,
    );
  }
  return {
    ...surroundings,
    positionals,
    text: (name) => (typeof values[name] === 'string' ? values[name] : undefined),
    texts: (name) =>
      tokens.flatMap((token) => (token.kind === 'option' && token.name === name ? [token.value ?? ''] : [])),
    flag: (name) => values[name] === true,
  };
}

export function helpOf(command: Command): string {
  const { name, positionals, summary, details, options } = command;
  const rows = Object.entries({ ...options, help: helpOption }).map(([long, { short, value, description }]) => {
    const names = `${short === undefined ? '    ' : `-${short}, `}--${long}${value === undefined ? '' : ` ${value}`}`;
    return `  ${names.padEnd(26)} ${description}`;
  });
  const usage = `larder ${name}${positionals === undefined ? '' : ` ${positionals}`} [OPTIONS]`;
  return `${summary}\n\nUsage: ${usage}\n\n${rows.join('\n')}\n${details === undefined ? '' : `\n${details}\n`}`;
}

/** As scripts read it. */
export function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}
