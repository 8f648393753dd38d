import { expect, it } from 'vitest'
import { startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { describeStorages } from './support/storages.ts'
import { createId, patch, terminate } from './support/tus.ts'

describeStorages('a burst', (storage) => {
  it('of more uploads than there are database connections ends at once, even as the first thing a server sees', async () => {
    const landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { DATABASE_POOL: '2', UPLOAD_MAX_OPEN: '50' },
    })
    try {
      const ids = []
      for (let i = 0; i < 12; i++) ids.push(await createId(landfall, 'alice', { size: 1000 }))
      const began = performance.now()
      const answers = await Promise.all(
        ids.map((id, index) =>
          index % 2 === 0
            ? patch(landfall, 'alice', id, { offset: 0, body: asJpeg(Buffer.alloc(1000)) })
            : terminate(landfall, 'alice', id),
        ),
      )
      expect(answers.map((answer) => answer.status)).toEqual(ids.map(() => 204))
      // Less than the ten seconds after which a request gives up waiting for a connection.
      expect(performance.now() - began).toBeLessThan(9_000)
    } finally {
      await landfall.close()
    }
  })
})
