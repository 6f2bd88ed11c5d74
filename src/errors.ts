/** What the process ends with. Scripts rely on these numbers; they are listed in the README. */
export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  personNeeded: 4,
  cancelled: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/**
 * An error that a user can act on: what is wrong, where, and the command or flag that mends it.
 * Anything else that is thrown is a bug of ours and is reported as one.
 */
export class ExpectedError extends Error {
  override readonly name = 'ExpectedError';

  /** @param id stable name for scripts and searches, for example `host-key-unknown` */
  constructor(
    readonly exitCode: ExitCode,
    readonly id: string,
    message: string,
    readonly hint = '',
    /** Something on this machine is not as it was before, and is meant to stay so. */
    readonly changed = false,
  ) {
    super(message);
  }
}

/** The answer is printed already; only the exit code is left to tell. */
export class AlreadyTold extends ExpectedError {
  constructor({ exitCode, id, message, hint }: ExpectedError) {
    super(exitCode, id, message, hint);
  }
}

export const failed = (id: string, message: string, hint?: string) =>
  new ExpectedError(ExitCode.failed, id, message, hint);
export const usage = (message: string, hint?: string) =>
  new ExpectedError(ExitCode.usage, 'usage', message, hint);
export const refused = (id: string, message: string, hint?: string) =>
  new ExpectedError(ExitCode.usage, id, message, hint);
export const notFound = (id: string, message: string, hint?: string) =>
  new ExpectedError(ExitCode.notFound, id, message, hint);
export const personNeeded = (id: string, message: string, hint?: string) =>
  new ExpectedError(ExitCode.personNeeded, id, message, hint);
export const cancelled = () => new ExpectedError(ExitCode.cancelled, 'cancelled', 'Cancelled. Nothing was changed.');

/** Thrown by parsers of single values; the caller adds which flag, variable or answer the value came from. */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
}
