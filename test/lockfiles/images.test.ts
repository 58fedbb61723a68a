/** Images: references, lists, Dockerfiles, Compose files and Kubernetes manifests. */
import { describe, expect, it } from 'vitest';
import type { ReadLockfile } from '../../src/lockfiles/index.ts';
import { read, sha256, skippedIn } from './support.ts';

const digest = `sha256:${sha256}`;

/** As a client would write them, with the platform behind. */
function imagesIn({ wanted }: ReadLockfile): string[] {
  return wanted.map(({ registry, name, version, digests, platform }) =>
    [`${registry}/${name}`, version && `:${version}`, digests[0] && `@${digests[0]}`, platform && ` ${platform}`]
      .filter(Boolean)
      .join(''),
  );
}

describe('a list of images', () => {
  it.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
    ['docker.io/alpine:3', 'docker.io/library/alpine:3'],
    ['index.docker.io/library/alpine:3', 'docker.io/library/alpine:3'],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    [`ghcr.io/acme/web:1.0@${digest}`, `ghcr.io/acme/web:1.0@${digest}`],
    ['localhost:5000/web', 'localhost:5000/web:latest'],
    ['localhost/web:1', 'localhost/web:1'],
    ['docker://registry.example/a/b/c:1', 'registry.example/a/b/c:1'],
    ['--platform=linux/arm64/v8 alpine:3', 'docker.io/library/alpine:3 linux/arm64/v8'],
  ])('reads %s', (line, image) => {
    expect(imagesIn(read('images.txt', `# ours\n\n${line}   # why\n`))).toEqual([image]);
  });

  it.each([
    'Alpine:3',
    'alpine:',
    'alpine@sha256:abc',
    'alpine:3@md5:abababababababababababababababab',
    'registry.example/',
    '-alpine/x',
    'https://registry.example/alpine',
    'a/../b:1',
    'alpine latest',
  ])('refuses %s', (line) => {
    expect(() => read('images.txt', `${line}\n`)).toThrow('line 1 is no reference of an image');
  });

  it('is recognised by what is in it, once a line tells', () => {
    expect(read('ours', 'alpine\nredis:7\n').kind).toBe('image-list');
    expect(() => read('ours', 'alpine\nredis\n')).toThrow('no known kind');
  });
});

describe('a Dockerfile', () => {
  it('names images of stages, copies, mounts and its frontend', () => {
    const found = read(
      'build/Dockerfile',
      `# syntax=docker/dockerfile:1.7
ARG VERSION=24
ARG BASE="node:\${VERSION}-slim"
ARG EMPTY
FROM --platform=$BUILDPLATFORM golang:1.22 AS build
RUN --mount=type=bind,from=ghcr.io/acme/tools:2,target=/tools \\
    --mount=type=cache,target=/root go build
FROM --platform=linux/arm64 \${BASE} AS Final
COPY --from=build /a /a
COPY --from=0 /a /b
COPY --from=registry.example/assets:1 --chown=1:1 /c /c
RUN <<END
FROM not:this
END
ONBUILD COPY --from=busybox:1 /d /d
FROM final
FROM scratch
FROM \${EMPTY}
FROM \${NONE:-alpine}:3
`,
    );
    expect(found.kind).toBe('dockerfile');
    expect(imagesIn(found)).toEqual([
      'docker.io/docker/dockerfile:1.7',
      'docker.io/library/golang:1.22',
      'ghcr.io/acme/tools:2',
      'docker.io/library/node:24-slim linux/arm64',
      'registry.example/assets:1',
      'docker.io/library/busybox:1',
      'docker.io/library/alpine:3',
    ]);
    expect(found.wanted[1]?.from).toBe('build/Dockerfile: line 5');
    expect(skippedIn(found)).toEqual({ '${EMPTY}': 'a variable in it has no default; give the image in a list' });
    expect(found.notes.join()).toContain('Tags move');
  });

  it('is recognised by its names and by its first instruction', () => {
    for (const name of ['Containerfile', 'Dockerfile.dev', 'web.Dockerfile', 'x']) {
      expect(read(name, '# a\n\nARG A=1\nFROM alpine:3\n').kind).toBe('dockerfile');
    }
  });

  it('without an image is none', () => {
    expect(() => read('Dockerfile', 'hello\n')).toThrow('it has no FROM');
    expect(() => read('Dockerfile', `FROM a\n${'#'.repeat(600_000)}`)).toThrow('longer than');
  });
});

describe('a Compose file', () => {
  it('names images of services, builds and volumes', () => {
    const found = read(
      'docker-compose.prod.yml',
      `x-common: &common
  platform: linux/amd64
services:
  web:
    <<: *common
    image: \${REGISTRY:-ghcr.io}/acme/web:\${TAG-1.0}
  own:
    image: acme/own
    build: ./own
  inline:
    build:
      dockerfile_inline: |
        FROM alpine:3
      additional_contexts:
        base: docker-image://redis:7
  open:
    image: acme/open:\${TAG}
  data:
    image: busybox
    volumes:
      - type: image
        source: acme/data:1
      - ./here:/there
`,
    );
    expect(found.kind).toBe('compose');
    expect(imagesIn(found)).toEqual([
      'ghcr.io/acme/web:1.0 linux/amd64',
      'docker.io/library/alpine:3',
      'docker.io/library/redis:7',
      'docker.io/library/busybox:latest',
      'docker.io/acme/data:1',
    ]);
    expect(found.wanted[0]?.from).toBe('docker-compose.prod.yml: services > web');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands in the file.
    expect(Object.keys(skippedIn(found))).toEqual(['./own/Dockerfile', 'acme/open:${TAG}']);
  });

  it('is recognised by its services, and is nothing without them', () => {
    expect(read('x.yaml', 'services:\n  a:\n    image: redis\n').kind).toBe('compose');
    expect(() => read('compose.yaml', 'name: x\n')).toThrow('it has no services');
  });
});

describe('Kubernetes manifests', () => {
  const manifests = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  template:
    spec:
      initContainers: [{ name: init, image: busybox:1 }]
      containers:
        - name: web
          image: ghcr.io/acme/web@${digest}
      volumes:
        - name: data
          image: { reference: registry.example/data:1 }
        - name: other
          configMap: { name: web }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly }
spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: job, image: redis:7 }] } } } } }
---
apiVersion: example.com/v1
kind: Database
metadata: { name: main }
spec: { image: registry.example/postgres:16 }
`;

  it('name images of containers and volumes in every document, and guess no further', () => {
    const found = read('web.yaml', manifests);
    expect(found.kind).toBe('kubernetes');
    expect(imagesIn(found)).toEqual([
      'docker.io/library/busybox:1',
      `ghcr.io/acme/web@${digest}`,
      'registry.example/data:1',
      'docker.io/library/redis:7',
    ]);
    expect(found.wanted[3]?.from).toBe('web.yaml: CronJob nightly > job');
    expect(skippedIn(found)).toEqual({
      'registry.example/postgres:16': 'it may be an image; if it is one, give it in a list',
    });
  });

  it('may be JSON', () => {
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ image: 'redis:7' }] } });
    expect(imagesIn(read('pod', text))).toEqual(['docker.io/library/redis:7']);
  });

  it('may be a kustomization, whose images stand apart', () => {
    const text =
      'resources: [a.yaml]\nimages:\n  - { name: a, newName: ghcr.io/acme/a, newTag: "2" }\n  - { name: b }\n';
    const found = read('kustomization.yaml', text);
    expect(imagesIn(found)).toEqual(['ghcr.io/acme/a:2']);
    expect(Object.keys(skippedIn(found))).toEqual(['b', 'resources']);
  });

  it('are no templates, and no bombs', () => {
    const start = 'apiVersion: v1\nkind: Pod\n';
    expect(() => read('a.yaml', `${start}{{- if .Values.x }}\n`)).toThrow('`helm template`');
    const laughs = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      laughs.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    const bomb = `${start}${laughs.join('\n')}\ncontainers: &c [{ image: redis:7, containers: *c, all: *a11 }]\n`;
    expect(imagesIn(read('a.yaml', bomb))).toEqual(['docker.io/library/redis:7']);
  });
});
