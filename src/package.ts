import { readFileSync } from 'node:fs';

// This file and, after bundling, every chunk of dist/ lie one folder below package.json and templates/.
const root = new URL('../', import.meta.url);

export function version(): string {
  return (JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }).version;
}

/** The text of a file in templates/. */
export function template(name: string): string {
  return readFileSync(new URL(`templates/${name}`, root), 'utf8');
}
