import { ExpectedError, InvalidValue, usage } from '../errors.ts';
import { type Destination, parseDestination } from '../tunnel/destination.ts';
import { parseName } from '../tunnel/tunnel.ts';

// The values that are no fields of a tunnel: arguments, and flags of one command.

/** The name of a tunnel, given as an argument and perhaps by --name as well. */
export function readName(text: string, fromFlag?: string): string {
  try {
    const name = parseName(text);
    if (fromFlag !== undefined && fromFlag !== name) throw usage(`NAME is ${name}, but --name says ${fromFlag}`);
    return name;
  } catch (error) {
    throw error instanceof ExpectedError ? error : usage(`NAME: ${(error as Error).message}`);
  }
}

/** The value of --lines, as journalctl takes it. */
export function readLines(text: string): string {
  if (!/^\d{1,7}$/.test(text)) throw usage(`--lines: ${JSON.stringify(text)} is not a number of lines`);
  return text;
}

/** The value of --wait. */
export function readSeconds(text: string): number {
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > WEEK) throw usage(`--wait: ${JSON.stringify(text)} is not a number of seconds from 1 to ${WEEK}`);
  return seconds;
}

const WEEK = 604_800;

/** DEST of the commands for the server's end. */
export const readDestination = (text: string): Destination => read('DEST', text, parseDestination);

/**
 * Parses an argument or flag of a command for the server's end.
 * @throws ExpectedError (usage) naming where the text came from
 */
export function read<T>(from: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof InvalidValue) throw usage(`${from}: ${error.message}`, 'See revtun-setup server --help.');
    throw error;
  }
}
