import { describe, expect, it } from 'vitest'
import { readLocalReport, readRemoteReport } from './tool-report.ts'

const http = (text: string, level = 'warning') => `[http @ 0x55ace2fcbc80] [${level}] ${text}`
const demuxer = (text: string) => `[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55ff87c2a300] [error] ${text}`
const ADDRESS = 'https://user:word@s3.example:9000/b/uploads/x?X-Amz-Credential=KEY&X-Amz-Signature=SECRET'
const NO_MOOV = [
  demuxer('moov atom not found'),
  `[error] ${ADDRESS}: Invalid data found when processing input`,
]

describe('what a tool says of a file at an address', () => {
  it.each([
    ['nothing', [], 'sound'],
    ['damage alone', NO_MOOV, 'sound'],
    ['a request behind the end', [http('HTTP error 416 Range Not Satisfiable'), ...NO_MOOV], 'sound'],
    [
      'an error of the server that passed',
      [http('HTTP error 503 X'), http('Will reconnect at 0 in 0 second(s).')],
      'healed',
    ],
    [
      'a connection that broke and was made anew',
      [
        http('Stream ends prematurely at 300048, should be 4699052', 'error'),
        http('Will reconnect at 300048 in 3 second(s), error=Input/output error.'),
      ],
      'healed',
    ],
    [
      'the last attempt',
      [http('Will reconnect at 300048 in 7 second(s), error=Connection timed out.')],
      'broken',
    ],
    ['damage after a broken connection', [http('Failed to reconnect at 10.', 'error'), ...NO_MOOV], 'broken'],
    ['a refusal', [http('HTTP error 403 Forbidden'), ...NO_MOOV], 'broken'],
    [
      'a refusal on a connection that was made anew',
      [http('HTTP error 403 Forbidden'), http('Will reconnect at 0 in 0 second(s).')],
      'broken',
    ],
    [
      'an object that is gone',
      [http('HTTP error 404 Not Found'), `[error] ${ADDRESS}: Server returned 404 Not Found`],
      'broken',
    ],
    [
      'a name that cannot be resolved',
      ['[tcp @ 0x1] [error] Failed to resolve hostname s3.example: Temporary failure'],
      'broken',
    ],
    ['a certificate that does not fit', ['[tls @ 0x1] [error] The certificate is not correct'], 'broken'],
    ['a failed read that only the program tells of', [`[error] ${ADDRESS}: Input/output error`], 'broken'],
    ['words in another form', ['Connection reset by peer'], 'broken'],
  ])('%s', (_what, lines, delivery) => {
    expect(readRemoteReport(lines.join('\n')).delivery).toBe(delivery)
  })

  it('is kept apart from the network’s words and from mere warnings', () => {
    const lines = [
      http('HTTP error 503 X'),
      '[mov,mp4 @ 0x1] [warning] Packet corrupt (stream = 0, dts = 128000).',
      ...NO_MOOV,
      '    Last message repeated 3 times',
    ]
    expect(readRemoteReport(lines.join('\n')).complaints).toBe(
      '[mov,mp4,m4a,3gp,3g2,mj2] moov atom not found\nInvalid data found when processing input',
    )
  })

  it('is no complaint where it only goes on with a warning', () => {
    const lines = [
      '[matroska,webm @ 0x1] [warning] Could not find codec parameters for stream 3 (Attachment: none)',
      "Consider increasing the value for the 'analyzeduration' (0) and 'probesize' (5000000) options",
    ]
    expect(readRemoteReport(lines.join('\n'))).toEqual({ complaints: '', delivery: 'sound' })
  })

  it.each([readRemoteReport, readLocalReport])('never holds an address or a path', (read) => {
    const said = [
      `[error] ${ADDRESS}: Invalid data`,
      `Opening '${ADDRESS}' for reading`,
      `${'x'.repeat(3000)} ${ADDRESS}`,
      '/var/data/objects/uploads/x: moov atom not found',
    ].join('\n')
    expect(read(said).complaints).not.toMatch(/SECRET|KEY|s3\.example|\/var/)
  })
})
