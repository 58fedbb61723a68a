/** Fields of what a file holds: absent is `undefined`, of another type than they must be is an error that says where. */
import { isObject, type Json } from '../codecs/json.ts';
import { LockfileError } from './lockfile.ts';

function wrong(where: string, key: string, type: string): never {
  throw new LockfileError(`"${key}" of ${where} is no ${type}; let the program that wrote the file write it again`);
}

/** Own fields only, so that no name reaches what every object has. */
function field(of: Json, key: string): unknown {
  return Object.hasOwn(of, key) ? of[key] : undefined;
}

export function textField(of: Json, key: string, where: string): string | undefined {
  const value = field(of, key) ?? undefined;
  return value === undefined || typeof value === 'string' ? value : wrong(where, key, 'text');
}

/** For what has to be there. */
export function neededText(of: Json, key: string, where: string): string {
  return textField(of, key, where) ?? wrong(where, key, 'text');
}

export function objectField(of: Json, key: string, where: string): Json | undefined {
  const value = field(of, key) ?? undefined;
  return value === undefined || isObject(value) ? value : wrong(where, key, 'object');
}

export function listField(of: Json, key: string, where: string): readonly unknown[] {
  const value = field(of, key) ?? [];
  return Array.isArray(value) ? value : wrong(where, key, 'list');
}

/** A list of objects. */
export function objectsField(of: Json, key: string, where: string): readonly Json[] {
  return listField(of, key, where).map((one) => (isObject(one) ? one : wrong(where, key, 'list of objects')));
}

/** The objects that stand below names. */
export function namedObjects(of: Json | undefined, where: string): readonly (readonly [name: string, value: Json])[] {
  return Object.entries(of ?? {}).map(([name, value]) =>
    isObject(value) ? [name, value] : wrong(where, name, 'object'),
  );
}

export function isTrue(of: Json, key: string): boolean {
  const value = field(of, key);
  return value === true || value === 'true';
}
