/** Registries that everybody knows, by the names that configurations use. Each belongs to a format; some formats come later. */
import { defaultUrl } from 'registry-url';

export interface WellKnown {
  readonly url: string;
  readonly format: string;
  /** Hosts its links and redirects lead to. */
  readonly hosts?: readonly string[];
  /** What clients of a mirror call it, besides its own host. */
  readonly namespaces?: readonly string[];
  /** Names of a single part stand below this one. */
  readonly shortNames?: string;
  /** Origins of token servers that may be shown its credentials. */
  readonly realms?: readonly string[];
}

export const wellKnown: Readonly<Record<string, WellKnown>> = {
  npmjs: { url: defaultUrl, format: 'npm' },
  'docker-hub': {
    url: 'https://registry-1.docker.io',
    format: 'oci',
    namespaces: ['docker.io', 'index.docker.io', 'registry-1.docker.io'],
    shortNames: 'library',
    realms: ['https://auth.docker.io'],
  },
  ghcr: { url: 'https://ghcr.io', format: 'oci' },
  quay: { url: 'https://quay.io', format: 'oci' },
  gcr: { url: 'https://gcr.io', format: 'oci' },
  'artifact-registry': { url: 'https://us-docker.pkg.dev', format: 'oci' },
  mcr: { url: 'https://mcr.microsoft.com', format: 'oci' },
  'registry.k8s.io': { url: 'https://registry.k8s.io', format: 'oci' },
  'ecr-public': { url: 'https://public.ecr.aws', format: 'oci' },
  gitlab: { url: 'https://registry.gitlab.com', format: 'oci', realms: ['https://gitlab.com'] },
  'maven-central': { url: 'https://repo.maven.apache.org/maven2', format: 'maven' },
  'gradle-plugins': { url: 'https://plugins.gradle.org/m2', format: 'maven' },
  'google-maven': { url: 'https://dl.google.com/dl/android/maven2', format: 'maven' },
  'nuget.org': { url: 'https://api.nuget.org/v3', format: 'nuget' },
  'rubygems.org': { url: 'https://rubygems.org', format: 'rubygems' },
  pypi: { url: 'https://pypi.org', format: 'pypi', hosts: ['files.pythonhosted.org'] },
  'go-proxy': { url: 'https://proxy.golang.org', format: 'go' },
  'crates-io': { url: 'https://index.crates.io', format: 'cargo', hosts: ['static.crates.io', 'crates.io'] },
  packagist: { url: 'https://repo.packagist.org', format: 'composer' },
  'terraform-registry': { url: 'https://registry.terraform.io', format: 'terraform' },
  'conan-center': { url: 'https://center2.conan.io', format: 'conan' },
  'conda-forge': { url: 'https://conda.anaconda.org/conda-forge', format: 'conda' },
  cran: { url: 'https://cran.r-project.org', format: 'cran' },
};

/** Issuers of ID tokens for CI jobs, by the names that configurations use. */
export const wellKnownIssuers: Readonly<Record<string, string>> = {
  github: 'https://token.actions.githubusercontent.com',
  gitlab: 'https://gitlab.com',
  buildkite: 'https://agent.buildkite.com',
};

export interface Address {
  readonly url: string;
  /** In words, for `larder check`. */
  readonly from: string;
  /** Something the operator may not expect. */
  readonly note?: string;
}

/** Whether it is a public registry of the list, under whatever name it is used. */
export function isWellKnown({ origin }: URL): boolean {
  return Object.values(wellKnown).some(({ url }) => new URL(url).origin === origin);
}

/**
 * Where the npm registry is. A user whose npm is set to a mirror has a reason for it, and `npm start` passes that
 * setting on; but once the user's npm is pointed at Larder, Larder must not ask itself.
 */
export function npmRegistry(
  environment: Readonly<Record<string, string | undefined>>,
  isOurs: (url: URL) => boolean,
): Address {
  const chosen = environment.LARDER_NPM_REGISTRY;
  if (chosen) return { url: chosen, from: 'LARDER_NPM_REGISTRY in the environment' };
  const usual: Address = { url: defaultUrl, from: 'well known' };
  const inherited = environment.npm_config_registry;
  if (!inherited || !URL.canParse(inherited)) return usual;
  const url = new URL(inherited);
  if (!/^https?:$/.test(url.protocol) || url.href === new URL(defaultUrl).href) return usual;
  if (isOurs(url)) {
    return { ...usual, note: "npm's own settings point to Larder itself, so upstream npmjs is the public registry" };
  }
  if (url.username || url.password) {
    return {
      ...usual,
      note: "the registry in npm's own settings has credentials in its address, so it was not taken over",
    };
  }
  return { url: inherited, from: 'npm_config_registry, the registry that npm itself is set to use' };
}
