/** What is wrong with a configuration: everything at once, each with its place and what to do about it. */

export interface Mistake {
  /** Such as `orgs.acme.repositories.npm.sources[0].ttl`; empty for the file itself. */
  readonly path: string;
  readonly message: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}

/** Before it is told: with its path in parts. */
export interface PlacedMistake extends Mistake {
  readonly at: Path;
  /** Only that something is not here: a variable of the environment, a file. */
  readonly missing?: string;
}

/** The configuration can't be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly file: string;
  readonly mistakes: readonly Mistake[];

  constructor(file: string, mistakes: readonly Mistake[]) {
    super(mistakes.map((mistake) => lineOf(file, mistake)).join('\n'));
    this.file = file;
    this.mistakes = mistakes;
  }
}

function lineOf(file: string, { path, message, line, column }: Mistake): string {
  const place = line === undefined ? file : `${file}:${line}${column === undefined ? '' : `:${column}`}`;
  return `${place}: ${path === '' ? '' : `${path}: `}${message}`;
}

export type Path = readonly (string | number)[];

/** As one writes it in JavaScript, so that names with dots stay readable. */
export function printPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\w-]+$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

export function isWithin(path: Path, outer: Path): boolean {
  return outer.every((step, index) => path[index] === step);
}

/** Credentials in a URL are nobody's business. */
export function withoutCredentials(text: string): string {
  return text.replace(/\/\/[^/\s?#]*@/g, '//***@');
}

/** Notes a mistake. `missing`: only that it is not here. */
export type Complain = (path: Path, message: string, missing?: string) => void;
