/** A key pair as it goes into files. */
export interface KeyPair {
  readonly privateKey: string;
  /** One line, as in authorized_keys. */
  readonly publicKey: string;
}
