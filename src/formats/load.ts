/** Formats are found by folder name, and only those that a configuration uses are imported. */
import { readdirSync } from 'node:fs';
import type { Format } from '../core/format.ts';

const loaded = new Map<string, Promise<Format>>();

/** Ids of all formats there are, in alphabetical order. */
export function listFormats(): string[] {
  return readdirSync(import.meta.dirname, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

async function importFormat(id: string): Promise<Format> {
  const ids = listFormats();
  if (!ids.includes(id)) throw new Error(`There is no format ${id}; there are ${ids.join(', ')}`);
  const { format } = (await import(`./${id}/index.ts`)) as { readonly format: Format };
  return format;
}

/** Rejects with an Error that lists the names when there is no such format. */
export function loadFormat(id: string): Promise<Format> {
  let format = loaded.get(id);
  if (!format) {
    format = importFormat(id);
    loaded.set(id, format);
    format.catch(() => loaded.delete(id));
  }
  return format;
}
