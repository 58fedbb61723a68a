/** Where packages of npm's clients come from when they don't come from a registry. */
import { lastSegment, webAddress } from './findings.ts';

/** What a resolution, specifier or address that no registry is behind stands for; `undefined` when a registry may be. */
export function elsewhere(source: string): string | undefined {
  if (
    /^(?:git(?:\+|:|@)|github:|gitlab:|bitbucket:|gist:|ssh:)/.test(source) ||
    /^https?:.*\.git(?:#|$)/.test(source)
  ) {
    return 'it comes from a git repository';
  }
  if (/^(?:file:|\.{0,2}\/)/.test(source)) return 'it is a file or folder beside the project';
  if (/^(?:link:|portal:|workspace:)/.test(source)) return 'it is a folder of the project';
  if (/^patch:/.test(source)) return 'it is made by a patch of the project from a package that is listed by itself';
  if (/^exec:/.test(source)) return 'it is made by a program of the project';
  if (/^runtime:/.test(source)) return 'it is a runtime, which the package manager downloads from its own site';
  return undefined;
}

/** Archives of repositories, as the great code hosts have them: `/acme/web/tar.gz/<commit>`, `/acme/web/-/archive/…`. */
export function isCodeArchive(address: string): boolean {
  return /^https?:\/\/[^/]+\/.+\/(?:tar\.gz|archive)\//.test(address);
}

/** Whether an address can be that of a package in a registry: the package's name is a part of it. */
export function isRegistryAddress(address: string, name: string): boolean {
  const url = webAddress(address);
  if (url === undefined || isCodeArchive(url)) return false;
  const path = new URL(url).pathname.replace(/%40/g, '@').replace(/%2f/gi, '/');
  return path.includes(`/${name}/`) && lastSegment(url) !== undefined;
}

export const noAddresses =
  'Where no download address is written down, packages are taken from the repository under their usual addresses.';
