/** A command as a person would type it: for messages, and for the scripts that `server script` writes. Exact for any POSIX shell. */
export function commandLine(argv: readonly string[]): string {
  return argv.map((word) => (/^[A-Za-z0-9_/.,:=@^%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)).join(' ');
}
