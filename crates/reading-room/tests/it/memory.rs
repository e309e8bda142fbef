//! A store in memory: what is tested here is what the reading room asks of one, not how one keeps its promises.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::body::Bytes;
use domain::{
    digest::Sha256Digest,
    object::{ObjectKey, ObjectRef},
    port::{
        Incoming, Listed, ObjectReader, Storage, StorageError,
        storage::{Found, PIECE_BYTES_MAX, Pieces},
    },
};

type Objects = Arc<Mutex<BTreeMap<ObjectKey, Bytes>>>;

#[derive(Default)]
pub struct Memory {
    objects: Objects,
}

struct Receiving {
    objects: Objects,
    bytes: Vec<u8>,
}

struct Rest(Bytes);

#[async_trait]
impl Storage for Memory {
    async fn receive(&self, _: Found) -> Result<Box<dyn Incoming>, StorageError> {
        Ok(Box::new(Receiving { objects: self.objects.clone(), bytes: Vec::new() }))
    }

    async fn read(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader, StorageError> {
        let key = &object.key;
        let object = self.objects.lock().unwrap().get(key).cloned();
        let object = object.ok_or_else(|| StorageError::NotFound(key.clone()))?;
        let place = |at: u64| usize::try_from(at).unwrap().min(object.len());
        let part = range.map_or(0..object.len(), |range| place(range.start)..place(range.end));
        let pieces = Box::new(Rest(object.slice(part)));
        Ok(ObjectReader { object_bytes: object.len() as u64, is_checked: false, pieces })
    }

    async fn size(&self, object: &ObjectRef) -> Result<Option<u64>, StorageError> {
        Ok(self.objects.lock().unwrap().get(&object.key).map(|object| object.len() as u64))
    }

    async fn remove(&self, object: &ObjectRef) -> Result<(), StorageError> {
        self.objects.lock().unwrap().remove(&object.key);
        Ok(())
    }

    async fn list(&self, after: Option<&ObjectRef>, limit: usize) -> Result<Vec<Listed>, StorageError> {
        let objects = self.objects.lock().unwrap();
        let later = objects.keys().filter(|key| after.is_none_or(|after| **key > after.key));
        let listed = |key: &ObjectKey| Listed { object: key.clone().into(), written: None };
        Ok(later.take(limit).map(listed).collect())
    }

    async fn tidy(&self) -> Result<u64, StorageError> {
        Ok(0)
    }

    async fn check(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

#[async_trait]
impl Incoming for Receiving {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(
        self: Box<Self>,
        key: &ObjectKey,
        sha256: Sha256Digest,
    ) -> Result<ObjectRef, StorageError> {
        if Sha256Digest::of(&self.bytes) != sha256 {
            return Err(StorageError::Corrupt(key.clone()));
        }
        self.objects.lock().unwrap().insert(key.clone(), self.bytes.into());
        Ok(key.clone().into())
    }
}

#[async_trait]
impl Pieces for Rest {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let piece = self.0.split_to(self.0.len().min(PIECE_BYTES_MAX));
        Ok((!piece.is_empty()).then_some(piece))
    }
}
