import { describe, expect, it } from 'vitest'
import { publicKeysIn } from './public-keys.ts'

// Made by openssl for a hundred years: an authority, what it has certified, and two that certify themselves under one name.
const AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUesflZsl457MrxM8F76a7TsmSzQgwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEYSBjYTAgFw0yNjExMjkwNjU2NDlaGA8yMTI2MTEwNTA2NTY0
OVowDzENMAsGA1UEAwwEYSBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDF3
6JSA6wn8nwXQ5wa2pNxvHCnVA2Krv7CD3+6bd6kiEIk6UQoz3z4X9RYCrc9eDM7q
5ScKZ9sN9ztyMqHAaXujUzBRMB0GA1UdDgQWBBQJFxivuNU+wcBZur9Nfan+mtiS
hjAfBgNVHSMEGDAWgBQJFxivuNU+wcBZur9Nfan+mtiShjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQC4NPlk1OD2KM+uPlIi+Y9GxKYp2boStzH4
yQ/11bECiQIgQ59poAkBZdiU1S0LieA8gjWNX2GNMZzyOjaeo91jYi8=
-----END CERTIFICATE-----
`
const CERTIFIED = `-----BEGIN CERTIFICATE-----
MIIBHjCBxgIUPh/HEJ9xWkMh/L6wacCuyBaNtXIwCgYIKoZIzj0EAwIwDzENMAsG
A1UEAwwEYSBjYTAgFw0yNjExMjkwNjU2NDlaGA8yMTI2MTEwNTA2NTY0OVowFDES
MBAGA1UEAwwJYW4gaXNzdWVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc28F
CL5Yd+eSVmhCn7JLuhi9wQg3+4ZqMcrMv4f2qT1oz7SCO41oyD3WllShqt1vbBwj
aMdPSyaldjJsFb2VQDAKBggqhkjOPQQDAgNHADBEAiBQon3PRafeBZMLevnRxsx3
cgEAkuvY6yUuWyMYMRcj4wIgH5bXdFwG7/rniJe3e7HScjjQ0Peh7mcNwx8lx5N2
E1w=
-----END CERTIFICATE-----
`
const SELF_SIGNED = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUIWtTttjOIDc/lbbEBDBAwTmgnmkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYW4gaXNzdWVyMCAXDTI2MTEyOTA2NTY0OVoYDzIxMjYxMTA1
MDY1NjQ5WjAUMRIwEAYDVQQDDAlhbiBpc3N1ZXIwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQgrRXBrCZ9ub8jOG8UcD1jGGP6cXi2B4sxzMFexKhXXFZBFkjGXSQW
qq1dTxQPJ8eeurPVNXq1EWVoqrdNMCqJo1MwUTAdBgNVHQ4EFgQUpL85jwwxqs8a
mWHiWNeyJTf4bmEwHwYDVR0jBBgwFoAUpL85jwwxqs8amWHiWNeyJTf4bmEwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBz+7k0iTh+Ja4otKHGI619
NXqyt1BYBGxjqJE3D6S3dwIgHpTGg+q4UHfi3pvKtx3TwUrSDECrEeLcfE1/mSI+
28E=
-----END CERTIFICATE-----
`
const SELF_SIGNED_LATER = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUVNcpqUTH0YG/nJRwK+JUUvhCcAkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYW4gaXNzdWVyMCAXDTI2MTEyOTA2NTY1MFoYDzIxMjYxMTA1
MDY1NjUwWjAUMRIwEAYDVQQDDAlhbiBpc3N1ZXIwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQGEO7A/YjWUsn7Gi/4JwCtNkxvF7Mf8GPtBh9LGrkYaaX/VuEzhdEv
GJxijKGLfupfw/9S9KfeASoJ5BEVoDfDo1MwUTAdBgNVHQ4EFgQUwMmukDEzWujZ
Su99ECG5eKXLFO4wHwYDVR0jBBgwFoAUwMmukDEzWujZSu99ECG5eKXLFO4wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA5ZyaIlDSolbKaLv+Utwg
QHGEBtB7JShdZvngKG+IcVUCIHM7VoijIHAOP24p+nLyzuI7i3PZaMTrqtR9Ua2p
zAE/
-----END CERTIFICATE-----
`

const trimmed = (...pems: string[]) => pems.map((pem) => pem.trim())

describe('the public keys in a text', () => {
  it('are those of certificates as well', () => {
    expect(publicKeysIn(CERTIFIED)).toEqual(trimmed(CERTIFIED))
    expect(publicKeysIn(`Issuer: someone\n${CERTIFIED}\nbye`)).toEqual(trimmed(CERTIFIED))
  })

  it('do not include the authority behind a certificate, which signs no tokens', () => {
    expect(publicKeysIn(CERTIFIED + AUTHORITY)).toEqual(trimmed(CERTIFIED))
  })

  it('include both of two certificates under one name, so that the one can follow the other', () => {
    expect(publicKeysIn(SELF_SIGNED + SELF_SIGNED_LATER)).toEqual(trimmed(SELF_SIGNED, SELF_SIGNED_LATER))
  })

  it.each([
    '',
    'nothing',
    CERTIFIED.replace('-----END', '----END'),
    `${CERTIFIED}-----BEGIN CERTIFICATE-----`,
  ])('are none in %j', (text) => {
    expect(publicKeysIn(text)).toBeUndefined()
  })
})
