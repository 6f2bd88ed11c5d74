/**
 * For sshd_config. OpenSSH 9.0 to 9.9 would begin with sntrup761, which takes half of the processor time of a whole login.
 * What comes after the key exchange is the same.
 */
export const cheapKeyExchange = 'KexAlgorithms -sntrup*';
